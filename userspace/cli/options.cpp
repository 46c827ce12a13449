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
constexpr double kDefaultStatsdInterval = 10;  // over which StatsD's and Datadog's servers aggregate
constexpr const char* kIntervalVariable = "MONITOR_UPDATE_INTERVAL";
constexpr const char* kKeepVariable = "MONITOR_KEEP_ENDED";
constexpr const char* kPinsVariable = "MONITOR_PINS";
constexpr const char* kDefaultPins = "/sys/fs/bpf/monitor";

Status check_selection(const Words& words) {
  if (!words.pids.empty() && words.pid_file) {
    return usage_error("--pid and --pid-file both name a server", "give one of them");
  }
  if (words.all && (!words.pids.empty() || words.pid_file)) {
    return usage_error(std::string("--all and ") + (words.pid_file ? "--pid-file" : "--pid") + " contradict each other",
                       "give one of them");
  }
  if (words.guess && !words.all) {
    return usage_error("--guess without --all: without it, a single guess is taken by itself",
                       "add --all, or name the process with --pid");
  }
  return Ok{};
}

// The output options that were given, as written.
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

Status check_listeners(const Words& words) {
  if (words.by_listener && (words.log || (words.statsd && !words.dogstatsd))) {
    return usage_error(std::string("--by-listener with ") + (words.log ? "--log" : "--statsd") +
                           ": its lines do not name the listener",
                       "choose one listener with --port or --listener");
  }
  return Ok{};
}

// Options that only some outputs have.
Status check_output_options(const Words& words) {
  if (words.dogstatsd && !words.statsd) {
    return usage_error("--dogstatsd needs --statsd, which says where to send", "add --statsd HOST:PORT");
  }
  if (words.max_scrape && !words.prometheus) {
    return usage_error("--max-scrape without --prometheus: no other output has a limit", "add --prometheus");
  }
  if (words.latency && (words.json || words.prometheus || words.csv || words.influx || words.statsd)) {
    return usage_error("--latency is for the box and for --log: the other outputs always have these figures",
                       "omit --latency");
  }
  if (words.no_header && !words.csv) {
    return usage_error("--no-header without --csv: no other output has a header", "add --csv");
  }
  return Ok{};
}

Status check_combination(const Words& words) {
  if (const std::vector<std::string> names = outputs(words); names.size() > 1) {
    return usage_error(names[0] + " and " + names[1] + " are two outputs, and one run writes only one",
                       "give one of them; run two monitors side by side for both");
  }
  if (words.prometheus && words.watch) {
    return usage_error("--prometheus writes one sample, so --watch does not apply",
                       "run it once for each file, or let Prometheus scrape monitor serve");
  }
  if (words.log && words.log->empty()) {
    return usage_error("--log names no file", "give a file, or - for standard output");
  }
  if (words.log && (words.all || words.pids.size() > 1)) {
    return usage_error("--log follows one server: its lines do not name the server",
                       "run one monitor for each server, each with its own file");
  }
  if (words.statsd && !words.dogstatsd && (words.all || words.pids.size() > 1)) {
    return usage_error("--statsd follows one server: its metric names do not name the server",
                       "add --dogstatsd if the StatsD server understands tags, or run one monitor for each server");
  }
  if ((words.count || words.duration) && !words.watch && !words.log && !words.statsd) {
    return usage_error(std::string(words.count ? "--count" : "--duration") +
                           " without --watch, --log or --statsd: only one sample is printed",
                       "add one of them, or set how long to observe with --interval");
  }
  if (words.color && words.no_color) {
    return usage_error("--color and --no-color contradict each other", "give one of them");
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
  return usage_error("--color: unknown choice \"" + *words.color + "\"", "give auto, always or never");
}

// The command line takes precedence over the environment, and both over the default.
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

// Each pid once, in the order given.
Result<std::vector<pid_t>> parse_pids(const Words& words) {
  std::vector<pid_t> pids;
  for (const std::string& text : words.pids) {
    const auto pid = static_cast<pid_t>(TRY(parse_positive("--pid", text, kMaxPid)));
    if (std::find(pids.begin(), pids.end(), pid) == pids.end()) {
      pids.push_back(pid);
    }
  }
  return pids;
}

Result<Selection> choose_servers(const Words& words) {
  TRY(check_selection(words));
  if (words.pid_file && words.pid_file->empty()) {
    return usage_error("--pid-file names no file", "give the file that holds the server's pid");
  }
  std::vector<pid_t> pids = TRY(parse_pids(words));
  return Selection{std::move(pids), words.pid_file, words.all, words.guess};
}

Result<EngineOptions> choose_engine(const Words& words) {
  if (words.show_secrets && !words.raw_paths) {
    return usage_error("--show-secrets without --raw-paths: paths are folded, and secrets with them",
                       "add --raw-paths");
  }
  EngineOptions engine;
  engine.version = MONITOR_VERSION;
  engine.raw_paths = words.raw_paths;
  engine.show_secrets = words.show_secrets;
  engine.verbose = words.verbose;
  engine.profile = words.profile.value_or(engine.profile);
  if (engine.profile != "auto" && engine.profile != "socket" && engine.profile != "syscall") {
    return usage_error("--profile: unknown profile \"" + engine.profile + "\"", "give auto, socket or syscall");
  }
  struct Limit {
    const char* name;
    const std::optional<std::string>& word;
    std::uint32_t most;
    std::uint32_t& limit;
  };
  for (const Limit& limit :
       {Limit{"--max-targets", words.max_targets, kMostTargets, engine.max_targets},
        Limit{"--max-endpoints", words.max_endpoints, kMostEndpoints, engine.max_endpoints},
        Limit{"--max-connections", words.max_connections, kMostConnections, engine.max_connections}}) {
    if (!limit.word) {
      continue;
    }
    limit.limit = static_cast<std::uint32_t>(TRY(parse_positive(limit.name, *limit.word, limit.most)));
  }
  return engine;
}

// In bytes.
Result<std::size_t> choose_max_scrape(const Words& words) {
  constexpr std::uint64_t kMostKilobytes = 1'000'000;
  return words.max_scrape ? TRY(parse_positive("--max-scrape", *words.max_scrape, kMostKilobytes)) * 1000
                          : kUsualScrape;
}

Result<std::string> choose_pins(const Words& words, const Environment& environment) {
  const char* const variable = environment(kPinsVariable);
  std::string pins = words.pins.value_or(variable != nullptr && *variable != '\0' ? variable : kDefaultPins);
  while (pins.size() > 1 && pins.back() == '/') {
    pins.pop_back();
  }
  const std::string last = pins.substr(pins.rfind('/') + 1);
  if (pins.empty() || pins.front() != '/' || last.empty() || last.find('.') != std::string::npos) {
    return usage_error("--pins: \"" + pins + "\" cannot be a directory on a BPF file system",
                       std::string("give an absolute path whose last name has no dots, such as ") + kDefaultPins);
  }
  return pins;
}

Result<double> choose_keep(const Words& words, const Environment& environment) {
  const char* const variable = environment(kKeepVariable);
  const std::string word = words.keep_ended.value_or(variable != nullptr ? variable : "");
  if (word.empty() && !words.keep_ended) {
    return kKeepEndedSeconds;
  }
  return word == "0" ? 0.0 : TRY(parse_seconds(words.keep_ended ? "--keep-ended" : kKeepVariable, word));
}

Result<ListenerChoice> choose_listeners(const Words& words) {
  ListenerChoice choice;
  for (const std::string& word : words.ports) {
    choice.ports.push_back(static_cast<std::uint16_t>(TRY(parse_positive("--port", word, 65535))));
  }
  choice.addresses = words.listeners;
  choice.each = words.by_listener;
  return choice;
}

Status set_times(const Words& words, const Environment& environment, ViewOptions& options) {
  options.interval_seconds = TRY(choose_interval(words, environment));
  options.interval_given = words.interval.has_value();
  if (words.count) {
    options.count = TRY(parse_positive("--count", *words.count, std::numeric_limits<std::uint64_t>::max()));
  }
  if (words.duration) {
    options.duration_seconds = TRY(parse_seconds("--duration", *words.duration));
  }
  return Ok{};
}

// Sets what the view, attach and serve have in common.
Status set_engine(const Words& words, const Environment& environment, ObserveOptions& options) {
  options.servers = TRY(choose_servers(words));
  options.engine = TRY(choose_engine(words));
  options.pins = TRY(choose_pins(words, environment));
  options.keep_ended_seconds = TRY(choose_keep(words, environment));
  options.system = !words.no_system;
  options.listeners = TRY(choose_listeners(words));
  if (words.routes && words.routes->empty()) {
    return usage_error("--routes names no file", "give the file that has the templates");
  }
  options.routes_file = words.routes.value_or("");
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
  TRY(check_combination(words));
  TRY(check_output_options(words));
  TRY(check_listeners(words));
  TRY(set_engine(words, environment, options));
  TRY(set_times(words, environment, options));
  options.color = TRY(parse_color(words));
  if (words.statsd) {
    options.statsd = TRY(parse_host_port("--statsd", *words.statsd));
  }
  options.mode = choose_mode(words);
  options.dogstatsd = words.dogstatsd;
  options.csv_header = !words.no_header;
  options.latency = words.latency;
  options.max_scrape = TRY(choose_max_scrape(words));
  options.log_file = words.log.value_or("");
  options.format = choose_format(words);
  // A script that takes a sample each second wants it without the cost of a search.
  options.servers.name_others = options.mode != Mode::kOnce || options.format == Format::kBox;
  return Command(std::move(options));
}

Result<Command> check_attach(const Words& words, const Environment& environment) {
  AttachOptions options;
  TRY(set_engine(words, environment, options));
  options.servers.command = "monitor attach";
  return Command(std::move(options));
}

Result<Command> check_detach(const Words& words, const Environment& environment) {
  TRY(check_selection(words));
  std::vector<pid_t> pids = TRY(parse_pids(words));
  std::string pins = TRY(choose_pins(words, environment));
  return Command(DetachOptions{std::move(pids), words.all, std::move(pins)});
}

Result<Command> check_sessions(const Words& words, const Environment& environment) {
  std::string pins = TRY(choose_pins(words, environment));
  return Command(SessionsOptions{words.json, std::move(pins)});
}

Result<Command> check_list(const Words& words, const Environment& environment) {
  std::string pins = TRY(choose_pins(words, environment));
  return Command(ListOptions{words.json, std::move(pins)});
}

Result<Command> check_serve(const Words& words, const Environment& environment) {
  ServeOptions options;
  TRY(set_engine(words, environment, options));
  options.servers.command = "monitor serve";
  options.servers.name_others = true;
  if (words.listen) {
    options.listen = TRY(parse_host_port("--listen", *words.listen));
  }
  options.show_ended = true;
  options.max_scrape = TRY(choose_max_scrape(words));
  return Command(std::move(options));
}

}  // namespace

Result<Command> parse_options(const std::vector<std::string>& arguments, const Environment& environment) {
  Words view;
  Words command;
  std::variant<TextToPrint, Verb> read = TRY(read_words(arguments, view, command));
  if (TextToPrint* const text = std::get_if<TextToPrint>(&read)) {
    return Command(std::move(*text));
  }
  switch (std::get<Verb>(read)) {
    case Verb::kView:
      return check_view(view, environment);
    case Verb::kAttach:
      return check_attach(command, environment);
    case Verb::kDetach:
      return check_detach(command, environment);
    case Verb::kSessions:
      return check_sessions(command, environment);
    case Verb::kList:
      return check_list(command, environment);
    case Verb::kServe:
      return check_serve(command, environment);
  }
  return usage_error("no such command");
}

}  // namespace monitor
