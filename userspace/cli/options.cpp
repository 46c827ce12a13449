// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <charconv>
#include <cmath>
#include <cstdint>
#include <limits>

namespace monitor {
namespace {

// PID_MAX_LIMIT of include/linux/threads.h: no pid reaches it.
constexpr std::uint64_t kMaxPid = std::uint64_t{4} * 1024 * 1024;
constexpr double kDefaultLogInterval = 5;
constexpr const char* kIntervalVariable = "MONITOR_UPDATE_INTERVAL";

constexpr const char* kDescription =
    "Shows what a running uvicorn is doing: requests in flight by endpoint, peak, totals,\n"
    "failures, queue, CPU and memory. It attaches from outside and changes nothing in the server.\n"
    "Needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE.\n";

constexpr const char* kFooter =
    "Examples:\n"
    "  sudo monitor                          the one server on this machine, once\n"
    "  sudo monitor --pid 1234 --watch       keep the box on the screen; q quits\n"
    "  sudo monitor --json --watch | jq .    one object a line\n"
    "  sudo monitor --log /var/log/monitor.log --interval 60\n"
    "\n"
    "Exit status: 0 done; 1 failed; 2 wrong usage; 3 no such server, or it has ended;\n"
    "4 not permitted; 5 the kernel lacks what is needed.\n"
    "Environment: MONITOR_UPDATE_INTERVAL (seconds, for --log), NO_COLOR.";

// The command line as written, each value still text.
struct Words {
  std::optional<std::string> pid, pid_file, interval, count, duration, log, color, profile;
  bool watch = false, json = false, no_color = false, raw_paths = false, verbose = false;
};

Error usage_error(std::string what, std::string hint = "monitor --help lists the options") {
  return Error{ErrorCode::kUsage, std::move(what), std::move(hint)};
}

void declare_options(CLI::App& app, Words& words) {
  const auto value = [&app](const char* name, std::optional<std::string>& word, const char* text, const char* meaning,
                            const char* group) {
    app.add_option_function<std::string>(
           name, [&word](const std::string& given) { word = given; }, meaning)
        ->option_text(text)
        ->group(group);
  };
  const auto flag = [&app](const char* name, bool& word, const char* meaning, const char* group) {
    app.add_flag_callback(
           name, [&word] { word = true; }, meaning)
        ->group(group);
  };
  constexpr const char* kWhich = "Which server (default: the pid in logs/proxy.pid, else the one found)";
  value("--pid", words.pid, "N", "the server's process; its workers are followed too", kWhich);
  value("--pid-file", words.pid_file, "FILE", "read the pid from FILE", kWhich);
  constexpr const char* kWhat = "What to print (default: one box)";
  flag("--watch", words.watch, "again every interval; on a terminal redrawn in place", kWhat);
  flag("--json", words.json, "JSON, one object a line", kWhat);
  value("--log", words.log, "FILE", "append log lines every interval; - is standard output,\nSIGHUP reopens FILE",
        kWhat);
  flag("--raw-paths", words.raw_paths, "endpoints as sent: /users/42, not /users/{id}", kWhat);
  value("--color", words.color, "WHEN", "auto, always or never", kWhat);
  flag("--no-color", words.no_color, "the same as --color never", kWhat);
  constexpr const char* kWhen = "When (seconds may have fractions)";
  value("--interval", words.interval, "S",
        "seconds between samples: 2, with --log 5; without\n--watch or --log how long to observe", kWhen);
  value("--count", words.count, "N", "end after N samples", kWhen);
  value("--duration", words.duration, "S", "end after S seconds", kWhen);
  constexpr const char* kRest = "Other";
  value("--profile", words.profile, "NAME", "kernel hooks to use: auto, socket (Linux 6.3 and later)\nor syscall",
        kRest);
  flag("--verbose", words.verbose, "say on standard error what is done", kRest);
  app.set_version_flag("--version", std::string("monitor ") + MONITOR_VERSION, "print the version")->group(kRest);
  app.set_help_flag("-h,--help", "print this")->group(kRest);
}

// CLI11 sets groups apart by two empty lines.
std::string help_text(const CLI::App& app) {
  std::string text = app.help();
  for (std::size_t at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n")) {
    text.erase(at, 1);
  }
  return text;
}

// CLI11's words for a value that is missing or given twice are not an operator's.
std::string describe_mismatch(const std::string& message) {
  const std::string name = message.substr(0, message.find(':'));
  return name + (message.find("missing") != std::string::npos ? " needs a value" : " may be given only once");
}

// Takes the words apart; a text to print when that was asked for.
Result<std::optional<TextToPrint>> read_words(const std::vector<std::string>& arguments, Words& words) {
  CLI::App app(kDescription, "monitor");
  app.get_formatter()->column_width(22);
  app.footer(kFooter);
  try {
    declare_options(app, words);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes the last one first
  } catch (const CLI::CallForHelp&) {
    return std::optional(TextToPrint{help_text(app)});
  } catch (const CLI::CallForVersion& version) {
    return std::optional(TextToPrint{std::string(version.what()) + "\n"});
  } catch (const CLI::ArgumentMismatch& error) {
    return usage_error(describe_mismatch(error.what()));
  } catch (const CLI::ExtrasError&) {
    return usage_error("unknown argument: " + app.remaining().front());
  } catch (const CLI::Error& error) {
    return usage_error(error.what());
  }
  return std::optional<TextToPrint>();
}

Status check_combination(const Words& words) {
  if (words.pid && words.pid_file) {
    return usage_error("--pid and --pid-file both name a server", "give one of them");
  }
  if (words.log && (words.json || words.watch)) {
    return usage_error(std::string("--log and ") + (words.json ? "--json" : "--watch") +
                           " are two outputs of their own, and one run makes one",
                       "give one of them; both can run side by side, as two monitors");
  }
  if (words.log && words.log->empty()) {
    return usage_error("--log names no file", "give a file, or - for standard output");
  }
  if ((words.count || words.duration) && !words.watch && !words.log) {
    return usage_error(std::string(words.count ? "--count" : "--duration") +
                           " without --watch or --log: one sample is "
                           "printed anyway",
                       "add --watch or --log, or set how long to observe with --interval");
  }
  if (words.color && words.no_color) {
    return usage_error("--color and --no-color contradict one another", "give one of them");
  }
  return Ok{};
}

Result<ColorChoice> parse_color(const Words& words) {
  if (words.no_color || words.color == "never") {
    return ColorChoice::kNever;
  }
  if (words.color == "always") {
    return ColorChoice::kAlways;
  }
  if (!words.color || words.color == "auto") {
    return ColorChoice::kAuto;
  }
  return usage_error("--color: no such choice: \"" + *words.color + "\"", "give auto, always or never");
}

// The command line before the environment before what is usual.
Result<double> choose_interval(const Words& words, const Environment& environment) {
  if (words.interval) {
    return parse_seconds("--interval", *words.interval);
  }
  if (!words.log) {
    return Options{}.interval_seconds;
  }
  const char* const variable = environment(kIntervalVariable);
  if (variable == nullptr || *variable == '\0') {
    return kDefaultLogInterval;
  }
  return parse_seconds(kIntervalVariable, variable);
}

Status set_server(const Words& words, Options& options) {
  if (words.pid) {
    Result<std::uint64_t> pid = parse_positive("--pid", *words.pid, kMaxPid);
    if (!pid) {
      return std::move(pid).error();
    }
    options.server.pid = static_cast<pid_t>(*pid);
  }
  if (words.pid_file && words.pid_file->empty()) {
    return usage_error("--pid-file names no file", "give the file that holds the server's pid");
  }
  options.server.pid_file = words.pid_file;
  return Ok{};
}

Status set_times(const Words& words, const Environment& environment, Options& options) {
  Result<double> interval = choose_interval(words, environment);
  if (!interval) {
    return std::move(interval).error();
  }
  options.interval_seconds = *interval;
  if (words.count) {
    Result<std::uint64_t> count = parse_positive("--count", *words.count, std::numeric_limits<std::uint64_t>::max());
    if (!count) {
      return std::move(count).error();
    }
    options.count = *count;
  }
  if (words.duration) {
    Result<double> duration = parse_seconds("--duration", *words.duration);
    if (!duration) {
      return std::move(duration).error();
    }
    options.duration_seconds = *duration;
  }
  return Ok{};
}

Result<Options> check(const Words& words, const Environment& environment) {
  Options options;
  if (Status status = check_combination(words); !status) {
    return std::move(status).error();
  }
  if (Status status = set_server(words, options); !status) {
    return std::move(status).error();
  }
  if (Status status = set_times(words, environment, options); !status) {
    return std::move(status).error();
  }
  Result<ColorChoice> color = parse_color(words);
  if (!color) {
    return std::move(color).error();
  }
  options.color = *color;
  if (words.profile && *words.profile != "auto" && *words.profile != "socket" && *words.profile != "syscall") {
    return usage_error("--profile: there is no profile \"" + *words.profile + "\"", "give auto, socket or syscall");
  }
  options.profile = words.profile.value_or(options.profile);
  options.mode = words.log ? Mode::kLog : words.watch ? Mode::kWatch : Mode::kOnce;
  options.log_file = words.log.value_or("");
  options.json = words.json;
  options.raw_paths = words.raw_paths;
  options.verbose = words.verbose;
  return options;
}

}  // namespace

Result<double> parse_seconds(std::string_view name, std::string_view text) {
  double seconds = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, seconds, std::chars_format::general);
  // Out of range ("1e999") is a number, though not one that is stored.
  const bool number = error != std::errc::invalid_argument && stop == end && !std::isnan(seconds);
  if (!number) {
    return usage_error(fmt::format("{}: \"{}\" is not a number of seconds", name, text),
                       "give a number such as 2 or 0.5");
  }
  if (error != std::errc() || seconds < kMinSeconds || seconds > kMaxSeconds) {
    return usage_error(fmt::format("{}: {} is out of range", name, text),
                       fmt::format("give {} to {:.0f} seconds (365 days)", kMinSeconds, kMaxSeconds));
  }
  return seconds;
}

Result<std::uint64_t> parse_positive(std::string_view name, std::string_view text, std::uint64_t most) {
  std::uint64_t value = 0;
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, value);
  if (error == std::errc::invalid_argument || stop != end) {
    return usage_error(fmt::format("{}: \"{}\" is not a positive whole number", name, text),
                       fmt::format("give a number from 1 to {}", most));
  }
  if (error != std::errc() || value == 0 || value > most) {
    return usage_error(fmt::format("{}: {} is out of range", name, text),
                       fmt::format("give a number from 1 to {}", most));
  }
  return value;
}

Result<std::variant<Options, TextToPrint>> parse_options(const std::vector<std::string>& arguments,
                                                         const Environment& environment) {
  Words words;
  Result<std::optional<TextToPrint>> text = read_words(arguments, words);
  if (!text) {
    return std::move(text).error();
  }
  if (*text) {
    return std::variant<Options, TextToPrint>(std::move(**text));
  }
  Result<Options> options = check(words, environment);
  if (!options) {
    return std::move(options).error();
  }
  return std::variant<Options, TextToPrint>(*std::move(options));
}

}  // namespace monitor
