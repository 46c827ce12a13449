// SPDX-License-Identifier: Apache-2.0
// The servers that one run shows, each counted by the engine that is attached, or else by one of our own.
#pragma once

#include <chrono>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "cli/attached.h"
#include "cli/loop.h"
#include "cli/observation.h"
#include "cli/options.h"
#include "host/find_server.h"

namespace monitor {

// The servers that are meant, by what the operator said. Fails with kNoTarget when there is none, or one that was named
// is none. What is refused beside others is left to the caller to say.
Result<FoundServers> find_selected(const ProcFs& proc, const Selection& selection, const Attached& attached,
                                   const EngineOptions& choice);

class Fleet {
 public:
  // Is told of what is done and of what failed without ending the run.
  using Say = std::function<void(const Error&)>;

  // Finds the servers and begins to observe all of them. Fails when one cannot be, or when there is none; unless, with
  // --all, it may `begin_with_none`.
  static Result<Fleet> begin(const ObserveOptions& options, Say say, bool begin_with_none = false);

  // All of them as they are now. With --all, those that came are taken in, and that none is left is no end.
  Result<Look> look();

  // Readable once one of the servers has ended.
  std::vector<int> ended_fds() const;

  // Whether all of them are counted by an attached engine: then a first look says something.
  bool is_attached() const;

  // Whether looks go by way of pins that only a capability lets this process see.
  bool reads_others_pins() const { return attached_.engine && pins_.need_capability(); }

  // Servers that have ended, in that order.
  const std::vector<pid_t>& ended() const { return ended_; }

 private:
  Fleet(const ObserveOptions& options, Attached attached, Say say);

  Status add(const Server& server);
  Status try_to_add(const Server& server);
  bool give_up(const ProcessIdentity& identity);
  void say_refused(const FoundServers& found);
  Result<Observation> observe(const Server& server);
  // The engine of our own; loaded when it is needed first.
  Result<std::shared_ptr<Engine>> own_engine();
  void take_in_new();
  bool knows(pid_t pid) const;

  EngineOptions choice_;
  Pins pins_;
  bool all_;
  bool system_;
  Attached attached_;
  std::shared_ptr<Engine> own_;
  std::vector<Observation> observed_;
  std::vector<pid_t> ended_;
  std::vector<ProcessIdentity> given_up_;  // with --all: what could not be observed
  std::chrono::steady_clock::time_point looked_around_;
  Say say_;
};

}  // namespace monitor
