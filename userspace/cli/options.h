// SPDX-License-Identifier: Apache-2.0
// The command line and the environment, made into checked settings. Pure: nothing is opened, looked up or printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/host_port.h"
#include "base/result.h"
#include "cli/environment.h"
#include "session/engine_options.h"

namespace monitor {

enum class Mode {
  kOnce,   // one box or object, after one interval
  kWatch,  // a box or object each interval
  kLog,    // log lines each interval
  kSend,   // StatsD datagrams each interval
};

// How a sample is written, but for log lines.
enum class Format { kBox, kJson, kPrometheus, kCsv, kInflux };

enum class ColorChoice { kAuto, kAlways, kNever };

inline constexpr double kMinSeconds = 0.01;
inline constexpr double kMaxSeconds = 86400.0 * 365;

// Which servers are meant. None of it: the one in logs/proxy.pid, else the only one attached, else the one found.
struct Selection {
  std::vector<pid_t> pids;
  std::optional<std::string> pid_file;
  bool all = false;  // every server on the machine, new ones too
};

// What every command that observes servers is told.
struct ObserveOptions {
  Selection servers;
  EngineOptions engine;  // of one that has to be loaded
  std::string pins;
  bool system = true;  // CPU, memory and threads are looked at and shown
};

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

// monitor serve: has Prometheus scrape servers.
struct ServeOptions : ObserveOptions {
  HostPort listen{"127.0.0.1", 9464};
};

// Text to print on standard output instead of doing anything: --help, --version.
struct TextToPrint {
  std::string text;
};

using Command = std::variant<TextToPrint, ViewOptions, AttachOptions, DetachOptions, SessionsOptions, ServeOptions>;

// `arguments` without the program's name. Every failure is kUsage.
Result<Command> parse_options(const std::vector<std::string>& arguments, const Environment& environment);

}  // namespace monitor
