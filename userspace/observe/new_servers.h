// SPDX-License-Identifier: Apache-2.0
// Decides when a search for new servers is worth its time. A process that begins to listen on a TCP port makes an event
// in the kernel. One that begins to listen on a Unix socket makes none, so that young processes of Python are a reason
// to search, too.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <optional>
#include <vector>

#include "host/procfs.h"
#include "session/engine.h"

namespace monitor {

class NewServers {
 public:
  using Clock = std::chrono::steady_clock;

  // Notes processes that have begun to listen. Returns whether a server may be among them.
  bool note(const ProcFs& proc, const std::vector<Listen>& listens, Clock::time_point now);

  // To be called once a second or more often. Returns whether a search may find a server that the last one did not.
  bool may_have_started(const ProcFs& proc, Clock::time_point now);

  // When the first of the processes began to listen, since boot; nullopt if no event said so lately.
  std::optional<std::uint64_t> listening_since(const std::vector<pid_t>& processes) const;

 private:
  struct Listening {
    std::uint64_t at_ns = 0;
    Clock::time_point noted;
  };

  std::map<pid_t, Listening> listening_;
  std::map<pid_t, Clock::time_point> seen_;  // every process of the latest call, with the time of the first call
  Clock::time_point last_;                   // when a young process was a reason last
  bool called_ = false;
};

}  // namespace monitor
