// SPDX-License-Identifier: Apache-2.0
#include "cli/option_words.h"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <utility>

#include "cli/option_values.h"

namespace monitor {
namespace {

constexpr const char* kDescription =
    "Shows what a running uvicorn is doing: requests in flight by endpoint, peak, totals,\n"
    "failures, queue, CPU and memory. It attaches from outside and does not change the server.\n"
    "It needs root, or CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, and also CAP_DAC_READ_SEARCH\n"
    "for a server that another user runs.\n";

constexpr const char* kFooter =
    "Examples:\n"
    "  sudo monitor                          show the only server on this machine once\n"
    "  sudo monitor --pid 1234 --watch       keep the box on the screen until you press q\n"
    "  sudo monitor --json --watch | jq .    print one object per line\n"
    "  sudo monitor --log /var/log/monitor.log --interval 60\n"
    "  sudo monitor attach                   start counting for every later monitor\n"
    "  sudo monitor serve --all              serve 127.0.0.1:9464/metrics to Prometheus\n"
    "\n"
    "Exit status: 0 success; 1 failure; 2 wrong usage; 3 no such server, several to choose\n"
    "from, or the server has ended; 4 not permitted; 5 the kernel lacks a required feature.\n"
    "Environment: MONITOR_UPDATE_INTERVAL (seconds, for --log), MONITOR_PINS (like --pins), NO_COLOR,\n"
    "MONITOR_KEEP_ENDED (like --keep-ended).";

constexpr const char* kAttachDescription = "start counting in the kernel; no monitor has to keep running";
constexpr const char* kAttachFooter =
    "The BPF programs and their counters are pinned in the kernel: every later monitor shows the\n"
    "totals and the peak since the attach at once. You can attach more servers later; the limits\n"
    "of the first attach apply to all of them. Root owns the directory of the pins: other users\n"
    "also need CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH to attach a server and to read an\n"
    "attached one.";

constexpr const char* kDetachDescription = "stop counting; after the last server nothing stays in the kernel";
constexpr const char* kServeDescription = "serve metrics to Prometheus until stopped";
constexpr const char* kServeFooter =
    "/metrics has the figures; /healthz reports whether a server is observed. Anybody who reaches\n"
    "the address can read them: to listen beyond loopback, put a proxy that authenticates in front.\n"
    "It exits with status 3 when the last server ends; with --all it keeps waiting for new ones.";
constexpr const char* kListDescription = "list the servers on this machine, and how each was recognised";
constexpr const char* kSessionsDescription = "list the attached servers and the kernel memory they use";

// Declares options of one command.
class Declarations {
 public:
  Declarations(CLI::App& app, Words& words) : app_(app), words_(words) {}

  void group(std::string name) { group_ = std::move(name); }

  void value(const char* name, std::optional<std::string>& word, const char* text, const std::string& meaning) {
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

  // An option that may be given more than once.
  void values(const char* name, std::vector<std::string>& words, const char* text, const char* meaning) {
    app_.add_option_function<std::vector<std::string>>(
            name, [&words](const std::vector<std::string>& given) { words = given; }, meaning)
        ->option_text(text)
        ->take_all()
        ->expected(1)
        ->group(group_);
  }

  void pids(const char* meaning) { values("--pid", words_.pids, "N", meaning); }

  void listeners() {
    values("--port", words_.ports, "N", "only what the server's listeners on this port accepted");
    values("--listener", words_.listeners, "ADDRESS",
           "the same by address, as monitor --json shows it:\n127.0.0.1:8000, [::]:8000, unix:/run/app.sock");
    flag("--by-listener", words_.by_listener, "each listener by itself, without CPU, memory and threads");
  }

  // For commands that show servers: an attached server takes precedence over one found by a search, and --all picks up
  // new ones.
  void servers_to_show() {
    servers("Which server (default: the pid in logs/proxy.pid, else the one attached, else the one found)",
            "every uvicorn, gunicorn, hypercorn and other HTTP server\nin Python on the machine, including those that "
            "start later");
    listeners();
  }

  void servers_to_attach() {
    servers("Which server (default: the pid in logs/proxy.pid, else the one found)",
            "every uvicorn, gunicorn, hypercorn and other HTTP server\nin Python that is running");
  }

  void pins() {
    value("--pins", words_.pins, "DIR",
          "directory for the pins of an attached engine, on a\nBPF file system; default /sys/fs/bpf/monitor");
  }

  void keep_ended() {
    value("--keep-ended", words_.keep_ended, "S",
          "seconds that a server which has ended is kept, in case\nits address is served again; default 120");
  }

  void paths() {
    value("--routes", words_.routes, "FILE",
          "templates that name endpoints, such as /users/{name}: one\nin each line, or an OpenAPI document in JSON");
    flag("--raw-paths", words_.raw_paths, "paths as sent: /users/42 instead of /users/{id}");
    flag("--show-secrets", words_.show_secrets,
         "with --raw-paths: show keys, tokens and e-mail addresses\nin paths too, instead of {secret}");
  }

  void max_scrape(const char* meaning) { value("--max-scrape", words_.max_scrape, "KB", meaning); }

  void profile() {
    value("--profile", words_.profile, "NAME", "kernel hooks to use: auto, socket (Linux 6.3 or later)\nor syscall");
  }

  void limits() {
    const EngineOptions usual;
    group("Limits (past them: servers are refused, endpoints count under \"(other)\", connections as undercount)");
    value("--max-targets", words_.max_targets, "N",
          fmt::format("servers at once; default {}, about 4.4 kB each", usual.max_targets));
    value("--max-endpoints", words_.max_endpoints, "N",
          fmt::format("endpoints of all servers; default {}, about 6.6 kB each", usual.max_endpoints));
    value("--max-connections", words_.max_connections, "N",
          fmt::format("connections of Unix sockets (of all sockets under the\nprofile syscall); default {}, 16 bytes "
                      "each, 1 kB\nmore while open",
                      usual.max_connections));
  }

  void help() { app_.set_help_flag("-h,--help", "print this help")->group(group_); }

 private:
  void servers(std::string title, const char* all) {
    group(std::move(title));
    pids("the server's process; its workers are included. Repeat\nthe option to watch several servers");
    value("--pid-file", words_.pid_file, "FILE", "read the pid from FILE");
    flag("--all", words_.all, all);
    flag("--guess", words_.guess,
         "with --all: also each Python that listens but that nothing\nelse shows to be a server");
  }

  CLI::App& app_;
  Words& words_;
  std::string group_;
};

void declare_view(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.servers_to_show();
  declare.group("What to print (default: one box)");
  declare.flag("--watch", words.watch, "repeat every interval; on a terminal, redraw in place");
  declare.flag("--latency", words.latency,
               "percentiles of times too, in the box and with --log: queue\nwait, time to first byte, duration");
  declare.flag("--json", words.json, "JSON, one object per line");
  declare.flag("--prometheus", words.prometheus, "Prometheus text format, for a textfile collector");
  declare.max_scrape(
      "with --prometheus: size of the file, in kB; default 1000.\nEndpoints past it count in \"(other)\"");
  declare.flag("--csv", words.csv, "CSV, a header and one line per sample");
  declare.flag("--no-header", words.no_header, "with --csv: omit the header, to append to a file");
  declare.flag("--influx", words.influx, "InfluxDB line protocol");
  declare.value("--log", words.log, "FILE",
                "append log lines every interval; - is standard output;\nSIGHUP reopens FILE");
  declare.value("--statsd", words.statsd, "HOST:PORT", "send to a StatsD server every interval, over UDP");
  declare.flag("--dogstatsd", words.dogstatsd, "with --statsd: DogStatsD tags, and figures by endpoint");
  declare.paths();
  declare.flag("--no-system", words.no_system, "leave out CPU, memory and threads");
  declare.value("--color", words.color, "WHEN", "auto, always or never");
  declare.flag("--no-color", words.no_color, "the same as --color never");
  declare.group("When (seconds may have fractions)");
  declare.value(
      "--interval", words.interval, "S",
      "seconds between samples; default 2, 5 with --log, 10\nwith --statsd. For one sample: how long to observe;\n"
      "an attached server is sampled at once");
  declare.value("--count", words.count, "N", "end after N samples of --watch, --log or --statsd");
  declare.value("--duration", words.duration, "S", "end after S seconds of --watch, --log or --statsd");
  declare.keep_ended();
  declare.group("Other");
  declare.profile();
  declare.pins();
  declare.flag("--verbose", words.verbose, "report each step on standard error");
  app.set_version_flag("--version", std::string("monitor ") + MONITOR_VERSION, "print the version")->group("Other");
  declare.help();
}

void declare_attach(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.servers_to_attach();
  declare.limits();
  declare.group("Other");
  declare.keep_ended();
  declare.paths();
  declare.profile();
  declare.pins();
  declare.flag("--verbose", words.verbose, "report each step on standard error");
  declare.help();
}

void declare_detach(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.group("Which server (default: the one that is attached)");
  declare.pids("the process that was given to attach");
  declare.flag("--all", words.all, "every server, and the remains of a damaged engine");
  declare.group("Other");
  declare.pins();
  declare.help();
}

// The options of `sessions` and of `ls`.
void declare_listing(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.group("Options");
  declare.flag("--json", words.json, "one JSON object");
  declare.pins();
  declare.help();
}

void declare_serve(CLI::App& app, Words& words) {
  Declarations declare(app, words);
  declare.servers_to_show();
  declare.group("Where");
  declare.value("--listen", words.listen, "HOST:PORT", "default 127.0.0.1:9464; port 0 picks a free one");
  declare.group("Other");
  declare.paths();
  declare.max_scrape("size of a scrape, in kB; default 1000. Endpoints past it\ncount in \"(other)\"");
  declare.keep_ended();
  declare.flag("--no-system", words.no_system, "leave out CPU, memory and threads");
  declare.profile();
  declare.pins();
  declare.flag("--verbose", words.verbose, "report each step on standard error");
  declare.help();
}

// CLI11 separates groups by two empty lines.
std::string help_text(const CLI::App& app) {
  std::string text = app.help();
  for (std::size_t at = text.find("\n\n\n"); at != std::string::npos; at = text.find("\n\n\n")) {
    text.erase(at, 1);
  }
  return text;
}

// CLI11's messages for a missing or repeated value are not written for an operator.
std::string describe_mismatch(const std::string& message) {
  const std::string name = message.substr(0, message.find(':'));
  return name + (message.find("missing") != std::string::npos ? " needs a value" : " may be given only once");
}

Error unknown_argument(const CLI::App& app) {
  const std::string word = app.remaining(true).front();
  if (word.starts_with('-')) {
    return usage_error("unknown argument: " + word);
  }
  std::string commands;
  for (const CLI::App* command : app.get_subcommands([](const CLI::App*) { return true; })) {
    commands += (commands.empty() ? "" : ", ") + command->get_name();
  }
  return usage_error("unknown argument: " + word,
                     "the commands are " + commands + "; monitor --help lists the options");
}

}  // namespace

Result<std::variant<TextToPrint, Verb>> read_words(const std::vector<std::string>& arguments, Words& view,
                                                   Words& command) {
  CLI::App app(kDescription, "monitor");
  app.get_formatter()->column_width(22);
  app.footer(kFooter);
  app.get_formatter()->label("SUBCOMMAND", "COMMAND");
  CLI::App* const attach = app.add_subcommand("attach", kAttachDescription)->group("Commands")->footer(kAttachFooter);
  CLI::App* const detach = app.add_subcommand("detach", kDetachDescription)->group("Commands")->footer("");
  CLI::App* const sessions = app.add_subcommand("sessions", kSessionsDescription)->group("Commands")->footer("");
  CLI::App* const list = app.add_subcommand("ls", kListDescription)->group("Commands")->footer("");
  CLI::App* const serve = app.add_subcommand("serve", kServeDescription)->group("Commands")->footer(kServeFooter);
  app.require_subcommand(0, 1);
  try {
    declare_view(app, view);
    declare_attach(*attach, command);
    declare_detach(*detach, command);
    declare_listing(*sessions, command);
    declare_listing(*list, command);
    declare_serve(*serve, command);
    app.parse(std::vector<std::string>(arguments.rbegin(), arguments.rend()));  // CLI11 takes the last one first
  } catch (const CLI::CallForHelp&) {
    // CLI11 asks for help before it reports an unknown word: "monitor status --help" would get the help of monitor.
    const std::vector<std::string> unknown = app.remaining(true);
    if (!unknown.empty() && !unknown.front().starts_with('-')) {
      return unknown_argument(app);
    }
    return std::variant<TextToPrint, Verb>(TextToPrint{help_text(app)});
  } catch (const CLI::CallForVersion& version) {
    return std::variant<TextToPrint, Verb>(TextToPrint{std::string(version.what()) + "\n"});
  } catch (const CLI::ArgumentMismatch& error) {
    return usage_error(describe_mismatch(error.what()));
  } catch (const CLI::ExtrasError&) {
    return unknown_argument(app);
  } catch (const CLI::Error& error) {
    return usage_error(error.what());
  }
  for (const auto& [used, verb] : {std::pair{attach, Verb::kAttach},
                                   {detach, Verb::kDetach},
                                   {sessions, Verb::kSessions},
                                   {list, Verb::kList},
                                   {serve, Verb::kServe}}) {
    if (used->count() == 0) {
      continue;
    }
    const auto options = app.get_options();
    if (std::any_of(options.begin(), options.end(), [](const CLI::Option* option) { return option->count() > 0; })) {
      return usage_error("options stand before the command " + used->get_name(),
                         "put them after it: monitor " + used->get_name() + " …");
    }
    return std::variant<TextToPrint, Verb>(verb);
  }
  return std::variant<TextToPrint, Verb>(Verb::kView);
}

}  // namespace monitor
