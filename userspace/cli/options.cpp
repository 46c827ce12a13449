// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "cli/option_values.h"
#include "cli/option_words.h"

namespace monitor {
namespace {

// PID_MAX_LIMIT of include/linux/threads.h: no pid reaches it.
constexpr std::uint64_t kMaxPid = std::uint64_t{4} * 1024 * 1024;
constexpr double kDefaultLogInterval = 5;
constexpr double kDefaultStatsdInterval = 10;  // by which StatsD's and Datadog's servers sum up
constexpr const char* kIntervalVariable = "MONITOR_UPDATE_INTERVAL";
constexpr const char* kPinsVariable = "MONITOR_PINS";
constexpr const char* kDefaultPins = "/sys/fs/bpf/monitor";

Status check_selection(const Words& words) {
  if (!words.pids.empty() && words.pid_file) {
    return usage_error("--pid and --pid-file both name a server", "give one of them");
  }
  if (words.all && (!words.pids.empty() || words.pid_file)) {
    return usage_error(
        std::string("--all and ") + (words.pid_file ? "--pid-file" : "--pid") + " contradict one another",
        "give one of them");
  }
  return Ok{};
}

// The outputs that were asked for, as they were written.
std::vector<std::string> outputs(const Words& words) {
  std::vector<std::string> names;
  for (const auto& [given, name] : {std::pair{words.log.has_value(), "--log"},
                                    {words.json, "--json"},
                                    {words.prometheus, "--prometheus"},
                                    {words.csv, "--csv"},
                                    {words.influx, "--influx"},
                                    {words.statsd.has_value(), "--statsd"},
                                    {(words.log || words.statsd) && words.watch, "--watch"}}) {
    if (given) {
      names.emplace_back(name);
    }
  }
  return names;
}

Status check_combination(const Words& words) {
  if (const std::vector<std::string> names = outputs(words); names.size() > 1) {
    return usage_error(names[0] + " and " + names[1] + " are two outputs of their own, and one run makes one",
                       "give one of them; both can run side by side, as two monitors");
  }
  if (words.prometheus && words.watch) {
    return usage_error("--prometheus is a file of one moment, which --watch would repeat",
                       "run it once for each file, or have monitor serve scraped");
  }
  if (words.log && words.log->empty()) {
    return usage_error("--log names no file", "give a file, or - for standard output");
  }
  if (words.log && (words.all || words.pids.size() > 1)) {
    return usage_error("--log follows one server: its lines do not tell which they are of",
                       "run one for each server, each with a file of its own");
  }
  if (words.statsd && !words.dogstatsd && (words.all || words.pids.size() > 1)) {
    return usage_error("--statsd follows one server: its names do not tell which they are of",
                       "add --dogstatsd if the server understands tags, or run one for each");
  }
  if (words.dogstatsd && !words.statsd) {
    return usage_error("--dogstatsd says how to send, but not where to", "add --statsd HOST:PORT");
  }
  if (words.no_header && !words.csv) {
    return usage_error("--no-header without --csv: no other output has a header", "add --csv");
  }
  if ((words.count || words.duration) && !words.watch && !words.log && !words.statsd) {
    return usage_error(std::string(words.count ? "--count" : "--duration") +
                           " without --watch, --log or --statsd: one sample is printed anyway",
                       "add one of them, or set how long to observe with --interval");
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
  if (words.statsd) {
    return kDefaultStatsdInterval;
  }
  if (!words.log) {
    return ViewOptions{}.interval_seconds;
  }
  const char* const variable = environment(kIntervalVariable);
  if (variable == nullptr || *variable == '\0') {
    return kDefaultLogInterval;
  }
  return parse_seconds(kIntervalVariable, variable);
}

// Each once, in the order given.
Result<std::vector<pid_t>> parse_pids(const Words& words) {
  std::vector<pid_t> pids;
  for (const std::string& text : words.pids) {
    Result<std::uint64_t> pid = parse_positive("--pid", text, kMaxPid);
    if (!pid) {
      return std::move(pid).error();
    }
    if (std::find(pids.begin(), pids.end(), static_cast<pid_t>(*pid)) == pids.end()) {
      pids.push_back(static_cast<pid_t>(*pid));
    }
  }
  return pids;
}

Result<Selection> choose_servers(const Words& words) {
  if (Status status = check_selection(words); !status) {
    return std::move(status).error();
  }
  if (words.pid_file && words.pid_file->empty()) {
    return usage_error("--pid-file names no file", "give the file that holds the server's pid");
  }
  Result<std::vector<pid_t>> pids = parse_pids(words);
  if (!pids) {
    return std::move(pids).error();
  }
  return Selection{*std::move(pids), words.pid_file, words.all};
}

Result<EngineOptions> choose_engine(const Words& words) {
  EngineOptions choice;
  choice.version = MONITOR_VERSION;
  choice.raw_paths = words.raw_paths;
  choice.verbose = words.verbose;
  choice.profile = words.profile.value_or(choice.profile);
  if (choice.profile != "auto" && choice.profile != "socket" && choice.profile != "syscall") {
    return usage_error("--profile: there is no profile \"" + choice.profile + "\"", "give auto, socket or syscall");
  }
  struct Limit {
    const char* name;
    const std::optional<std::string>& word;
    std::uint32_t most;
    std::uint32_t& limit;
  };
  for (const Limit& limit :
       {Limit{"--max-targets", words.max_targets, kMostTargets, choice.max_targets},
        Limit{"--max-endpoints", words.max_endpoints, kMostEndpoints, choice.max_endpoints},
        Limit{"--max-connections", words.max_connections, kMostConnections, choice.max_connections}}) {
    if (!limit.word) {
      continue;
    }
    Result<std::uint64_t> number = parse_positive(limit.name, *limit.word, limit.most);
    if (!number) {
      return std::move(number).error();
    }
    limit.limit = static_cast<std::uint32_t>(*number);
  }
  return choice;
}

Result<std::string> choose_pins(const Words& words, const Environment& environment) {
  const char* const variable = environment(kPinsVariable);
  std::string pins = words.pins.value_or(variable != nullptr && *variable != '\0' ? variable : kDefaultPins);
  while (pins.size() > 1 && pins.back() == '/') {
    pins.pop_back();
  }
  const std::string last = pins.substr(pins.rfind('/') + 1);
  if (pins.empty() || pins.front() != '/' || last.empty() || last.find('.') != std::string::npos) {
    return usage_error("--pins: \"" + pins + "\" is no directory that can be made on a BPF file system",
                       std::string("give an absolute path whose last name has no dots, such as ") + kDefaultPins);
  }
  return pins;
}

Status set_times(const Words& words, const Environment& environment, ViewOptions& options) {
  Result<double> interval = choose_interval(words, environment);
  if (!interval) {
    return std::move(interval).error();
  }
  options.interval_seconds = *interval;
  options.interval_given = words.interval.has_value();
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

// What the view and attach have in common.
Status set_engine(const Words& words, const Environment& environment, ObserveOptions& options) {
  Result<Selection> servers = choose_servers(words);
  if (!servers) {
    return std::move(servers).error();
  }
  Result<EngineOptions> engine = choose_engine(words);
  if (!engine) {
    return std::move(engine).error();
  }
  Result<std::string> pins = choose_pins(words, environment);
  if (!pins) {
    return std::move(pins).error();
  }
  options.servers = *std::move(servers);
  options.engine = *std::move(engine);
  options.pins = *std::move(pins);
  options.system = !words.no_system;
  return Ok{};
}

Mode choose_mode(const Words& words) {
  if (words.log) {
    return Mode::kLog;
  }
  if (words.statsd) {
    return Mode::kSend;
  }
  return words.watch ? Mode::kWatch : Mode::kOnce;
}

Format choose_format(const Words& words) {
  for (const auto& [given, format] : {std::pair{words.json, Format::kJson},
                                      {words.prometheus, Format::kPrometheus},
                                      {words.csv, Format::kCsv},
                                      {words.influx, Format::kInflux}}) {
    if (given) {
      return format;
    }
  }
  return Format::kBox;
}

Result<Command> check_view(const Words& words, const Environment& environment) {
  ViewOptions options;
  if (Status status = check_combination(words); !status) {
    return std::move(status).error();
  }
  if (Status status = set_engine(words, environment, options); !status) {
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
  if (words.statsd) {
    Result<HostPort> statsd = parse_host_port("--statsd", *words.statsd);
    if (!statsd) {
      return std::move(statsd).error();
    }
    options.statsd = *std::move(statsd);
  }
  options.mode = choose_mode(words);
  options.dogstatsd = words.dogstatsd;
  options.csv_header = !words.no_header;
  options.log_file = words.log.value_or("");
  options.format = choose_format(words);
  return Command(std::move(options));
}

Result<Command> check_attach(const Words& words, const Environment& environment) {
  AttachOptions options;
  if (Status status = set_engine(words, environment, options); !status) {
    return std::move(status).error();
  }
  return Command(std::move(options));
}

Result<Command> check_detach(const Words& words, const Environment& environment) {
  if (Status status = check_selection(words); !status) {
    return std::move(status).error();
  }
  Result<std::vector<pid_t>> pids = parse_pids(words);
  if (!pids) {
    return std::move(pids).error();
  }
  Result<std::string> pins = choose_pins(words, environment);
  if (!pins) {
    return std::move(pins).error();
  }
  return Command(DetachOptions{*std::move(pids), words.all, *std::move(pins)});
}

Result<Command> check_sessions(const Words& words, const Environment& environment) {
  Result<std::string> pins = choose_pins(words, environment);
  if (!pins) {
    return std::move(pins).error();
  }
  return Command(SessionsOptions{words.json, *std::move(pins)});
}

Result<Command> check_serve(const Words& words, const Environment& environment) {
  ServeOptions options;
  if (Status status = set_engine(words, environment, options); !status) {
    return std::move(status).error();
  }
  if (words.listen) {
    Result<HostPort> listen = parse_host_port("--listen", *words.listen);
    if (!listen) {
      return std::move(listen).error();
    }
    options.listen = *std::move(listen);
  }
  return Command(std::move(options));
}

}  // namespace

Result<Command> parse_options(const std::vector<std::string>& arguments, const Environment& environment) {
  Words view;
  Words command;
  Result<std::variant<TextToPrint, Verb>> read = read_words(arguments, view, command);
  if (!read) {
    return std::move(read).error();
  }
  if (TextToPrint* const text = std::get_if<TextToPrint>(&*read)) {
    return Command(std::move(*text));
  }
  switch (std::get<Verb>(*read)) {
    case Verb::kView:
      return check_view(view, environment);
    case Verb::kAttach:
      return check_attach(command, environment);
    case Verb::kDetach:
      return check_detach(command, environment);
    case Verb::kSessions:
      return check_sessions(command, environment);
    case Verb::kServe:
      return check_serve(command, environment);
  }
  return usage_error("no such command");
}

}  // namespace monitor
