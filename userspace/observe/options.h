// SPDX-License-Identifier: Apache-2.0
// The options of every command that observes servers: which servers, and how to count them.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "model/listeners.h"
#include "session/engine_options.h"

namespace monitor {

// Which servers to observe. If the operator selects none: the one of logs/proxy.pid, else the only one attached, else
// the only one found.
struct Selection {
  std::vector<pid_t> pids;
  std::optional<std::string> pid_file;
  bool all = false;                 // every server on the machine, also those that start later
  bool guess = false;               // with `all`: also what is only a guess
  std::string command = "monitor";  // that the operator ran, for hints: "monitor attach"
  bool name_others = false;         // name other servers although one is attached: that takes a search
};

inline constexpr double kKeepEndedSeconds = 120;  // twice Prometheus' default interval between two scrapes

struct ObserveOptions {
  Selection servers;
  EngineOptions engine;  // for an engine of our own; one that is attached keeps its own
  std::string pins;
  // For how many seconds a server that has ended is kept with its totals, in case its address is served again. It
  // applies to attached servers, and with --all.
  double keep_ended_seconds = kKeepEndedSeconds;
  std::string routes_file;   // with templates of paths; empty: none. Whoever runs the command reads it into `engine`
  bool system = true;        // read and show CPU, memory and threads
  bool show_ended = false;   // with --all: samples still have a server that has ended, for as long as it is kept
  ListenerChoice listeners;  // which of a server's listeners to show
};

}  // namespace monitor
