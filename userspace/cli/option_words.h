// SPDX-License-Identifier: Apache-2.0
// The words of the command line: the options of each command, their text in --help, and the values as given.
// options.h checks the values and makes settings from them.
#pragma once

#include <optional>
#include <string>
#include <variant>
#include <vector>

#include "base/result.h"
#include "cli/options.h"

namespace monitor {

// The command line as written, each value still text.
struct Words {
  std::vector<std::string> pids, ports, listeners;
  std::optional<std::string> pid_file, interval, count, duration, log, color, profile, pins, keep_ended;
  std::optional<std::string> max_targets, max_endpoints, max_connections;
  std::optional<std::string> statsd, listen, max_scrape, routes;
  bool all = false, guess = false, watch = false, json = false, prometheus = false, csv = false, no_header = false,
       influx = false, latency = false;
  bool by_listener = false, dogstatsd = false, no_system = false, no_color = false, raw_paths = false,
       show_secrets = false, verbose = false;
};

enum class Verb { kView, kAttach, kDetach, kSessions, kList, kServe };

// Parses the command line. `view` gets the options if it has no command, `command` those after a command. Returns a
// text if the command line asks for one (--help, --version). Every failure is kUsage.
Result<std::variant<TextToPrint, Verb>> read_words(const std::vector<std::string>& arguments, Words& view,
                                                   Words& command);

}  // namespace monitor
