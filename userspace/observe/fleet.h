// SPDX-License-Identifier: Apache-2.0
// The servers that one run observes. The attached engine counts those that it has; an engine of our own counts the
// rest.
#pragma once

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/find_server.h"
#include "model/sample.h"
#include "observe/attached.h"
#include "observe/notices.h"
#include "observe/observation.h"
#include "observe/options.h"
#include "session/pins.h"

namespace monitor {

class Fleet {
 public:
  // Finds the servers and begins to observe all of them. Fails if one of them cannot be observed, or if no server is
  // found. With --all it skips servers that it cannot observe, and with `may_be_empty` succeeds without a server.
  static Result<Fleet> begin(const ObserveOptions& options, Notices notices, bool may_be_empty = false);

  // Takes a snapshot of every server. With --all it also adds servers that have started since, and goes on if no server
  // is left.
  Result<Sample> sample();

  // Descriptors that become readable when a server ends, one for each.
  std::vector<int> ended_fds() const;

  // Whether the attached engine counts all of them, so that the first sample is meaningful at once.
  bool is_attached() const;

  // Whether sampling reads pins that only a capability makes visible to this process.
  bool reads_others_pins() const { return attached_.engine && pins_.access_needs_capability(); }

  // What the operator should know of the choice, where the output has no line for it: that the server is a guess, or
  // that others were passed over. Empty if the choice was certain.
  const std::string& doubt() const { return doubt_; }

  // Servers that have ended, in order.
  const std::vector<pid_t>& ended() const { return ended_; }

 private:
  Fleet(const ObserveOptions& options, Attached attached, Notices notices);

  Status add(const Server& server);
  Status add_if_new(const Server& server);
  Status add_all(const FoundServers& found);
  void notice_added(const Server& server, std::chrono::steady_clock::duration took) const;
  bool has_given_up(const ProcessIdentity& identity) const;
  void note_choice(const Server& server);
  void report_refused(const FoundServers& found);
  Result<Observation> observe(const Server& server);
  Result<std::shared_ptr<Engine>> own_engine();
  // Adds the server's snapshot to `sample`. Returns whether the observation goes on.
  Result<bool> sample_one(Observation& observation, Sample& sample);
  // Adds the views of one snapshot that the choice of listeners makes. Fails if the only server never had a listener
  // that matches.
  Status add_views(Snapshot snapshot, Sample& sample);
  void remove_over(const std::vector<pid_t>& over);
  void add_started();
  bool has(pid_t pid) const;

  EngineOptions engine_options_;
  Pins pins_;
  bool all_;
  bool system_;
  ListenerChoice listeners_;
  bool matched_ = false;  // a listener of `listeners_` was found
  Attached attached_;
  Guesses guesses_;
  std::shared_ptr<Engine> own_;  // loaded for the first server that it counts
  std::vector<Observation> observed_;
  std::vector<pid_t> ended_;
  ProgramReader programs_;
  std::map<pid_t, Evidence> evidence_;     // of those observed
  std::vector<std::string> passed_over_;   // by the search that chose the only one
  std::vector<ProcessIdentity> given_up_;  // with --all: servers that cannot be observed, each reported once
  std::chrono::steady_clock::time_point searched_at_;
  std::string doubt_;
  Notices notices_;
};

}  // namespace monitor
