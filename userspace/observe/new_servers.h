// SPDX-License-Identifier: Apache-2.0
// Decides when a search for new servers is worth its time. A process that begins to listen on a TCP port makes an event
// in the kernel. One that begins to listen on a Unix socket may make none, and one that inherits a listening socket
// makes none, so that a young process of Python that listens is a reason to search, too.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
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

  // Returns whether a search may find a server that the last one did not. `followed` are the processes of servers that
  // are observed, sorted; `listens` returns whether a process holds a listening socket. Returns false if the previous
  // call was less than a second ago.
  bool may_have_started(const ProcFs& proc, Clock::time_point now, const std::vector<pid_t>& followed,
                        const std::function<bool(pid_t)>& listens);

  // Whether a process that has just begun to listen is not followed: the event comes a moment before the list of
  // sockets has the socket, so a search can be too early. `followed` is sorted.
  bool may_be_early(Clock::time_point now, const std::vector<pid_t>& followed) const;

  // When the first of the processes began to listen, since boot; nullopt if no event said so lately.
  std::optional<std::uint64_t> listening_since(const std::vector<pid_t>& processes) const;

  // The latest time when none of the processes listened, as far as that is known.
  std::optional<Clock::time_point> quiet_until(const std::vector<pid_t>& processes) const;

 private:
  struct Listening {
    std::uint64_t at_ns = 0;
    Clock::time_point noted;
  };

  std::map<pid_t, Listening> listening_;
  bool is_reason(const ProcFs& proc, pid_t pid, Clock::time_point first, Clock::time_point now,
                 const std::function<bool(pid_t)>& listens);

  std::map<pid_t, Clock::time_point> quiet_;  // young processes, with the latest time when they did not listen
  std::map<pid_t, Clock::time_point> seen_;   // every process of the latest call, with the time of the first call
  Clock::time_point last_;                    // when a young process was a reason last
  std::optional<Clock::time_point> called_;
};

// Keeps what searches cost near a hundredth of a core, however many processes begin to listen. `cost` is CPU time: on a
// busy machine a search takes longer, and costs no more. Some tens of searches
// may follow each other at once; after that, one waits until the earlier ones have been paid for, but for a second at
// most.
class SearchPace {
 public:
  using Clock = std::chrono::steady_clock;

  bool allows(Clock::time_point now) const;
  void note(Clock::time_point end, Clock::duration cost);

 private:
  Clock::time_point end_;   // of the latest search
  Clock::time_point paid_;  // when all searches so far are paid for
};

}  // namespace monitor
