// SPDX-License-Identifier: Apache-2.0
// Makes checked settings from the command line and the environment. Opens nothing, resolves no names, prints nothing.
#pragma once

#include <cstddef>
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
#include "output/series_choice.h"
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
  bool latency = false;                    // with kBox or kLog: percentiles of times too
  std::size_t max_scrape = kUsualScrape;   // bytes, with kPrometheus
  std::string log_file;                    // with kLog; "-" is standard output
  HostPort statsd;                         // with kSend
  bool dogstatsd = false;                  // with kSend
  double interval_seconds = 2;             // from kMinSeconds to kMaxSeconds, as duration_seconds is
  bool interval_given = false;             // if not, the one sample of an attached engine is taken at once
  std::optional<std::uint64_t> count;      // end after this many samples, at least 1
  std::optional<double> duration_seconds;  // end after this time
  ColorChoice color = ColorChoice::kAuto;
};

// monitor attach: leaves the engine attached, so that it counts while no `monitor` runs.
struct AttachOptions : ObserveOptions {};

// monitor detach: ends what `monitor attach` began.
struct DetachOptions {
  std::vector<pid_t> pids;  // empty: the only server that is attached
  bool all = false;
  std::string pins;
};

// monitor sessions: shows what is attached.
struct SessionsOptions {
  bool json = false;
  std::string pins;
};

// monitor ls: lists the servers on this machine.
struct ListOptions {
  bool json = false;
  std::string pins;
};

// monitor serve: serves the metrics over HTTP, for Prometheus to scrape.
struct ServeOptions : ObserveOptions {
  HostPort listen{"127.0.0.1", 9464};
  std::size_t max_scrape = kUsualScrape;  // bytes
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
