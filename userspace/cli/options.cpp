// SPDX-License-Identifier: Apache-2.0
#include "cli/options.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstdint>
#include <limits>
#include <utility>

#include "cli/option_values.h"

namespace monitor {
namespace {

// PID_MAX_LIMIT of include/linux/threads.h: no pid reaches it.
constexpr std::uint64_t kMaxPid = std::uint64_t{4} * 1024 * 1024;
constexpr double kDefaultLogInterval = 5;
constexpr const char* kIntervalVariable = "MONITOR_UPDATE_INTERVAL";
constexpr const char* kPinsVariable = "MONITOR_PINS";
constexpr const char* kDefaultPins = "/sys/fs/bpf/monitor";

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
    "  sudo monitor attach                   count from now on, for any later monitor\n"
    "\n"
    "Exit status: 0 done; 1 failed; 2 wrong usage; 3 no such server, or it has ended;\n"
    "4 not permitted; 5 the kernel lacks what is needed.\n"
    "Environment: MONITOR_UPDATE_INTERVAL (seconds, for --log), MONITOR_PINS, NO_COLOR.";

constexpr const char* kAttachDescription = "count from now on, with no process of ours running";
constexpr const char* kAttachFooter =
    "The programs and what they count are pinned in the kernel: every later monitor shows at once\n"
    "the totals and the peak since the attach. More servers can be attached later; the limits are\n"
    "those of the first attach.";

constexpr const char* kDetachDescription = "end that; with the last server nothing is left";
constexpr const char* kSessionsDescription = "list what is attached, and what it takes of the kernel";

// The command line as written, each value still text.
struct Words {
  std::vector<std::string> pids;
  std::optional<std::string> pid_file, interval, count, duration, log, color, profile, pins;
  std::optional<std::string> max_targets, max_endpoints, max_connections;
  bool all = false, watch = false, json = false, no_color = false, raw_paths = false, verbose = false,
       no_system = false;
};

// Declares options of one command.
class Declarations {
 public:
  Declarations(CLI::App& app, Words& words) : app_(app), words_(words) {}

  void group(std::string name) { group_ = std::move(name); }

  void value(const char* name, std::optional<std::string>& word, const char* text, const char* meaning) {
    app_.add_option_function<std::string>(
            name, [&word](const std::string& given) { word = given; }, meaning)
        ->option_text(text)
        ->group(group_);
  }

  void flag(const char* name, bool& word, const char* meaning) {
    app_.add_flag_callback(
            name, [&word] { word = true; }, meaning)
        ->group(group_);
  }

  void pids(const char* meaning) {
    app_.add_option_function<std::vector<std::string>>(
            "--pid", [&pids = words_.pids](const std::vector<std::string>& given) { pids = given; }, meaning)
        ->option_text("N")
        ->take_all()
        ->expected(1)
        ->group(group_);
  }

  void servers() {
    group("Which server (default: the pid in logs/proxy.pid, else the one found)");
    pids("the server's process; its workers are followed too.\nSeveral --pid N: several servers");
    value("--pid-file", words_.pid_file, "FILE", "read the pid from FILE");
    flag("--all", words_.all, "every uvicorn, gunicorn and hypercorn on the machine");
  }

  void pins() {
    value("--pins", words_.pins, "DIR",
          "where an attached engine is pinned, on a BPF file\nsystem; default /sys/fs/bpf/monitor");
  }

  void profile() {
    value("--profile", words_.profile, "NAME", "kernel hooks to use: auto, socket (Linux 6.3 and later)\nor syscall");
  }

  void limits() {
    group("Limits (what is past them is counted as undercount or under \"(other)\")");
    value("--max-targets", words_.max_targets, "N", "servers at once; 16, some 4.4 kB each");
    value("--max-endpoints", words_.max_endpoints, "N", "endpoints of all together; 2048, some 1.4 kB each");
    value("--max-connections", words_.max_connections, "N",
          "connections of Unix sockets, under the profile syscall\nof all; 65536, 16 bytes each, 1 kB more when open");
  }

  void help() { app_.set_help_flag("-h,--help", "print this")->group(group_); }

 private:
  CLI::App& app_;
  Words& words_;
  std::string group_;
};

void declare_view(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.servers();
  declare.group("What to print (default: one box)");
  declare.flag("--watch", words.watch, "again every interval; on a terminal redrawn in place");
  declare.flag("--json", words.json, "JSON, one object a line");
  declare.value("--log", words.log, "FILE",
                "append log lines every interval; - is standard output,\nSIGHUP reopens FILE");
  declare.flag("--raw-paths", words.raw_paths, "endpoints as sent: /users/42, not /users/{id}");
  declare.flag("--no-system", words.no_system, "without CPU, memory and threads");
  declare.value("--color", words.color, "WHEN", "auto, always or never");
  declare.flag("--no-color", words.no_color, "the same as --color never");
  declare.group("When (seconds may have fractions)");
  declare.value(
      "--interval", words.interval, "S",
      "seconds between samples: 2, with --log 5; without\n--watch or --log how long to observe, of an attached\n"
      "server not at all");
  declare.value("--count", words.count, "N", "end after N samples");
  declare.value("--duration", words.duration, "S", "end after S seconds");
  declare.group("Other");
  declare.profile();
  declare.pins();
  declare.flag("--verbose", words.verbose, "say on standard error what is done");
  app.set_version_flag("--version", std::string("monitor ") + MONITOR_VERSION, "print the version")->group("Other");
  declare.help();
}

void declare_attach(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.servers();
  declare.limits();
  declare.group("Other");
  declare.flag("--raw-paths", words.raw_paths, "endpoints as sent: /users/42, not /users/{id}");
  declare.profile();
  declare.pins();
  declare.flag("--verbose", words.verbose, "say on standard error what is done");
  declare.help();
}

void declare_detach(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.group("Which server (default: the one that is attached)");
  declare.pids("the process that it was attached by");
  declare.flag("--all", words.all, "all of them, and whatever is left of a damaged engine");
  declare.group("Other");
  declare.pins();
  declare.help();
}

void declare_sessions(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.group("Options");
  declare.flag("--json", words.json, "one JSON object");
  declare.pins();
  declare.help();
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

enum class Verb { kView, kAttach, kDetach, kSessions };

// Takes the words apart; a text to print when that was asked for.
Result<std::variant<TextToPrint, Verb>> read_words(const std::vector<std::string>& arguments, Words& view,
                                                   Words& command) {
  CLI::App app(kDescription, "monitor");
  app.get_formatter()->column_width(22);
  app.footer(kFooter);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  CLI::App* const attach = app.add_subcommand("attach", kAttachDescription)->group("Commands")->footer(kAttachFooter);
  CLI::App* const detach = app.add_subcommand("detach", kDetachDescription)->group("Commands")->footer("");
  CLI::App* const sessions = app.add_subcommand("sessions", kSessionsDescription)->group("Commands")->footer("");
  app.require_subcommand(0, 1);
  try {
    declare_view(app, view);
    declare_attach(*attach, command);
    declare_detach(*detach, command);
    declare_sessions(*sessions, command);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes the last one first
  } catch (const CLI::CallForHelp&) {
    return std::variant<TextToPrint, Verb>(TextToPrint{help_text(app)});
  } catch (const CLI::CallForVersion& version) {
    return std::variant<TextToPrint, Verb>(TextToPrint{std::string(version.what()) + "\n"});
  } catch (const CLI::ArgumentMismatch& error) {
    return usage_error(describe_mismatch(error.what()));
  } catch (const CLI::ExtrasError&) {
    return usage_error("unknown argument: " + app.remaining(true).front());
  } catch (const CLI::Error& error) {
    return usage_error(error.what());
  }
  for (const auto& [used, verb] :
       {std::pair{attach, Verb::kAttach}, {detach, Verb::kDetach}, {sessions, Verb::kSessions}}) {
    if (used->count() == 0) {
      continue;
    }
    const auto options = app.get_options();
    if (std::any_of(options.begin(), options.end(), [](const CLI::Option* option) { return option->count() > 0; })) {
      return usage_error("options stand before the command " + used->get_name(),
                         "put them behind it: monitor " + used->get_name() + " …");
    }
    return std::variant<TextToPrint, Verb>(verb);
  }
  return std::variant<TextToPrint, Verb>(Verb::kView);
}

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

Status check_combination(const Words& words) {
  if (words.log && (words.json || words.watch)) {
    return usage_error(std::string("--log and ") + (words.json ? "--json" : "--watch") +
                           " are two outputs of their own, and one run makes one",
                       "give one of them; both can run side by side, as two monitors");
  }
  if (words.log && words.log->empty()) {
    return usage_error("--log names no file", "give a file, or - for standard output");
  }
  if (words.log && (words.all || words.pids.size() > 1)) {
    return usage_error("--log follows one server: its lines do not tell which they are of",
                       "run one for each server, each with a file of its own");
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

Result<EngineChoice> choose_engine(const Words& words) {
  EngineChoice choice;
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
template <typename Options>
Status set_engine(const Words& words, const Environment& environment, Options& options) {
  Result<Selection> servers = choose_servers(words);
  if (!servers) {
    return std::move(servers).error();
  }
  Result<EngineChoice> engine = choose_engine(words);
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
  return Ok{};
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
  options.mode = words.log ? Mode::kLog : words.watch ? Mode::kWatch : Mode::kOnce;
  options.log_file = words.log.value_or("");
  options.json = words.json;
  options.system = !words.no_system;
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
  }
  return usage_error("no such command");
}

}  // namespace monitor
