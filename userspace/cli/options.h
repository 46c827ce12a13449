// SPDX-License-Identifier: Apache-2.0
// The command line and the environment, made into checked settings. Pure: nothing is opened, looked up or printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/environment.h"
#include "base/host_port.h"
#include "base/result.h"
#include "observe/options.h"
#include "sinks/format.h"
#include "tui/appearance.h"

namespace monitor {

enum class Mode {
  kOnce,   // one box or object, after one interval
  kWatch,  // a box or object each interval
  kLog,    // log lines each interval
  kSend,   // StatsD datagrams each interval
};

inline constexpr double kMinSeconds = 0.01;
inline constexpr double kMaxSeconds = 86400.0 * 365;

// monitor: shows servers.
struct ViewOptions : ObserveOptions {
  Mode mode = Mode::kOnce;
  Format format = Format::kBox;
  bool csv_header = true;
  std::string log_file;                    // with kLog; "-" is standard output
  HostPort statsd;                         // with kSend
  bool dogstatsd = false;                  // with kSend
  double interval_seconds = 2;             // from kMinSeconds to kMaxSeconds, as duration_seconds is
  bool interval_given = false;             // else one sample of what is attached is taken at once
  std::optional<std::uint64_t> count;      // end after so many samples, at least 1
  std::optional<double> duration_seconds;  // end after so long
  ColorChoice color = ColorChoice::kAuto;
};

// monitor attach: has servers counted with no process of ours running.
struct AttachOptions : ObserveOptions {};

// monitor detach: ends that.
struct DetachOptions {
  std::vector<pid_t> pids;  // none: the one that is attached
  bool all = false;
  std::string pins;
};

// monitor sessions: tells what is attached.
struct SessionsOptions {
  bool json = false;
  std::string pins;
};

// monitor ls: lists the servers on this machine.
struct ListOptions {
  bool json = false;
  std::string pins;
};

// monitor serve: has Prometheus scrape servers.
struct ServeOptions : ObserveOptions {
  HostPort listen{"127.0.0.1", 9464};
};

// Text to print on standard output instead of doing anything: --help, --version.
struct TextToPrint {
  std::string text;
};

using Command =
    std::variant<TextToPrint, ViewOptions, AttachOptions, DetachOptions, SessionsOptions, ListOptions, ServeOptions>;

// `arguments` without the program's name. Every failure is kUsage.
Result<Command> parse_options(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace monitor
