// SPDX-License-Identifier: Apache-2.0
// The command line and the environment, made into checked settings. Pure: nothing is opened, looked up or printed.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "base/result.h"
#include "cli/environment.h"
#include "host/find_server.h"

namespace monitor {

enum class Mode {
  kOnce,   // one box or object, after one interval
  kWatch,  // a box or object each interval
  kLog,    // log lines each interval
};

enum class ColorChoice { kAuto, kAlways, kNever };

inline constexpr double kMinSeconds = 0.01;
inline constexpr double kMaxSeconds = 86400.0 * 365;

struct Options {
  ServerRequest server;
  Mode mode = Mode::kOnce;
  bool json = false;
  std::string log_file;                    // with kLog; "-" is standard output
  double interval_seconds = 2;             // from kMinSeconds to kMaxSeconds, as duration_seconds is
  std::optional<std::uint64_t> count;      // end after so many samples, at least 1
  std::optional<double> duration_seconds;  // end after so long
  ColorChoice color = ColorChoice::kAuto;
  bool raw_paths = false;
  std::string profile = "auto";
  bool verbose = false;
};

// Text to print on standard output instead of doing anything: --help, --version.
struct TextToPrint {
  std::string text;
};

// `arguments` without the program's name. Every failure is kUsage.
Result<std::variant<Options, TextToPrint>> parse_options(const std::vector<std::string>& arguments,
                                                         const Environment& environment);

// A time given in seconds, "0.5" or "1e-1". `name` is what it was given for, as the operator wrote it ("--interval").
Result<double> parse_seconds(std::string_view name, std::string_view text);

// A whole number from 1 to `most`.
Result<std::uint64_t> parse_positive(std::string_view name, std::string_view text, std::uint64_t most);

}  // namespace monitor
