// SPDX-License-Identifier: Apache-2.0
// The command line: which options are accepted, which are rejected, and with which message.
#include <doctest/doctest.h>

#include <map>
#include <string>
#include <vector>

#include "cli/option_values.h"
#include "cli/options.h"
#include "tui/appearance.h"

namespace monitor {
namespace {

using Variables = std::map<std::string, std::string>;

Environment environment_of(const Variables& variables) {
  return [variables](const char* name) {
    const auto found = variables.find(name);
    return found == variables.end() ? nullptr : found->second.c_str();
  };
}

bool contains(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

ViewOptions accepted(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  auto parsed = parse_options(arguments, environment_of(variables));
  if (!parsed) {
    FAIL(parsed.error().what);
  }
  return std::get<ViewOptions>(*parsed);
}

template <typename Options>
Options command(const std::vector<std::string>& arguments) {
  auto parsed = parse_options(arguments, environment_of({}));
  if (!parsed) {
    FAIL(parsed.error().what);
  }
  return std::get<Options>(*parsed);
}

std::string printed(const std::vector<std::string>& arguments) {
  auto parsed = parse_options(arguments, environment_of({}));
  REQUIRE(parsed);
  return std::get<TextToPrint>(*parsed).text;
}

Error refused(const std::vector<std::string>& arguments, const Variables& variables = {}) {
  auto parsed = parse_options(arguments, environment_of(variables));
  REQUIRE_FALSE(parsed);
  CHECK(parsed.error().code == ErrorCode::kUsage);
  CHECK_FALSE(parsed.error().hint.empty());
  return parsed.error();
}

}  // namespace

TEST_CASE("cli.options.defaults") {
  const ViewOptions options = accepted({});
  CHECK(options.mode == Mode::kOnce);
  CHECK(options.format == Format::kBox);
  CHECK(options.interval_seconds == 2);
  CHECK_FALSE(options.count);
  CHECK_FALSE(options.duration_seconds);
  CHECK(options.color == ColorChoice::kAuto);
  CHECK(options.engine.profile == "auto");
  CHECK(options.servers.pids.empty());
  CHECK_FALSE(options.servers.pid_file);
}

TEST_CASE("cli.options.several servers") {
  CHECK(accepted({"--pid", "1", "--pid", "2", "--pid", "1"}).servers.pids == std::vector<pid_t>{1, 2});
  CHECK(accepted({"--all"}).servers.all);
}

TEST_CASE("cli.options.where an engine is pinned") {
  CHECK(accepted({}).pins == "/sys/fs/bpf/monitor");
  CHECK(accepted({}, {{"MONITOR_PINS", "/run/bpf/a"}}).pins == "/run/bpf/a");
  CHECK(accepted({"--pins", "/run/bpf/b/"}, {{"MONITOR_PINS", "/run/bpf/a"}}).pins == "/run/bpf/b");
}

TEST_CASE("cli.options.for how long an ended server is kept") {
  CHECK(accepted({}).keep_ended_seconds == 120);
  CHECK(accepted({}, {{"MONITOR_KEEP_ENDED", ""}}).keep_ended_seconds == 120);
  CHECK(accepted({}, {{"MONITOR_KEEP_ENDED", "0"}}).keep_ended_seconds == 0);
  CHECK(accepted({"--keep-ended", "7.5"}, {{"MONITOR_KEEP_ENDED", "0"}}).keep_ended_seconds == 7.5);
  CHECK(command<AttachOptions>({"attach", "--keep-ended", "0"}).keep_ended_seconds == 0);
  CHECK(contains(refused({"--keep-ended", "soon"}).what, "--keep-ended: \"soon\""));
  CHECK(contains(refused({"--keep-ended", ""}).what, "--keep-ended"));
  const Variables bad = {{"MONITOR_KEEP_ENDED", "soon"}};
  CHECK(contains(refused({}, bad).what, "MONITOR_KEEP_ENDED: \"soon\""));
}

TEST_CASE("cli.options.attach, detach, sessions") {
  const auto attach =
      command<AttachOptions>({"attach", "--pid", "7", "--pid", "8", "--raw-paths", "--profile", "syscall",
                              "--max-targets", "2", "--max-endpoints", "10", "--max-connections", "20"});
  CHECK(attach.servers.pids == std::vector<pid_t>{7, 8});
  CHECK(attach.engine.raw_paths);
  CHECK_FALSE(attach.engine.show_secrets);
  CHECK(accepted({"--raw-paths", "--show-secrets"}).engine.show_secrets);
  CHECK(attach.engine.profile == "syscall");
  CHECK(attach.engine.max_targets == 2);
  CHECK(attach.engine.max_endpoints == 10);
  CHECK(attach.engine.max_connections == 20);
  CHECK(command<AttachOptions>({"attach", "--all"}).servers.all);
  CHECK(command<DetachOptions>({"detach", "--pid", "7"}).pids == std::vector<pid_t>{7});
  CHECK(command<DetachOptions>({"detach", "--all"}).all);
  CHECK(command<SessionsOptions>({"sessions", "--json", "--pins", "/run/bpf/b"}).json);
  CHECK(command<ListOptions>({"ls", "--json"}).json);
  CHECK_FALSE(command<ListOptions>({"ls"}).json);
  CHECK(command<AttachOptions>({"attach", "--all", "--guess"}).servers.guess);
  for (const char* name : {"attach", "detach", "sessions"}) {
    CAPTURE(name);
    CHECK(contains(printed({name, "--help"}), "--pins DIR"));
    CHECK(contains(printed({"--help"}), name));
  }
}

TEST_CASE("cli.options.all") {
  const ViewOptions options =
      accepted({"--pid", "42", "--watch", "--json", "--interval=.5", "--count", "7", "--duration", "1e1", "--raw-paths",
                "--verbose", "--profile", "socket", "--color=always"});
  CHECK(options.servers.pids == std::vector<pid_t>{42});
  CHECK(options.mode == Mode::kWatch);
  CHECK(options.format == Format::kJson);
  CHECK(options.interval_seconds == 0.5);
  CHECK(options.count == 7);
  CHECK(options.duration_seconds == 10);
  CHECK(options.engine.raw_paths);
  CHECK(options.engine.verbose);
  CHECK(options.engine.profile == "socket");
  CHECK(options.color == ColorChoice::kAlways);

  const ViewOptions log = accepted({"--pid-file", "/run/a.pid", "--log", "-", "--no-color"});
  CHECK(log.servers.pid_file == "/run/a.pid");
  CHECK(log.mode == Mode::kLog);
  CHECK(log.log_file == "-");
  CHECK(log.interval_seconds == 5);
  CHECK(log.color == ColorChoice::kNever);
}

TEST_CASE("cli.options.help names every option") {
  const std::string help = printed({"--help"});
  CHECK(help == printed({"-h"}));
  for (const char* option : {"--pid N",
                             "--pid-file FILE",
                             "--all",
                             "--watch",
                             "--json",
                             "--prometheus",
                             "--csv",
                             "--no-header",
                             "--influx",
                             "--log FILE",
                             "--statsd HOST:PORT",
                             "--dogstatsd",
                             "--interval S",
                             "--count N",
                             "--duration S",
                             "--color WHEN",
                             "--no-color",
                             "--raw-paths",
                             "--no-system",
                             "--profile NAME",
                             "--pins DIR",
                             "--verbose",
                             "--version",
                             "--help"}) {
    CAPTURE(option);
    CHECK(contains(help, option));
  }
  CHECK_FALSE(contains(help, "\n\n\n"));
}

TEST_CASE("cli.options.help names the default server and the capabilities") {
  for (const std::string& help : {printed({"--help"}), printed({"serve", "--help"})}) {
    CHECK(contains(help, "the pid in logs/proxy.pid, else the one attached, else the one found)"));
    CHECK(contains(help, "including those that start later"));
  }
  // `attach` does not search among the attached servers.
  CHECK(contains(printed({"attach", "--help"}), "the pid in logs/proxy.pid, else the one found)"));
  CHECK(contains(printed({"--help"}),
                 "CAP_BPF, CAP_PERFMON and CAP_SYS_PTRACE, and also CAP_DAC_READ_SEARCH\nfor a server"));
}

TEST_CASE("cli.options.version") {
  CHECK(printed({"--version"}).rfind("monitor ", 0) == 0);
}

TEST_CASE("cli.options.refused") {
  struct Case {
    std::vector<std::string> arguments;
    const char* what;
  };
  const std::vector<Case> cases = {
      {{"--pid", "1", "--pid-file", "x"}, "--pid and --pid-file"},
      {{"--log", "f", "--json"}, "--log and --json"},
      {{"--log", "f", "--watch"}, "--log and --watch"},
      {{"--prometheus", "--json"}, "--json and --prometheus"},
      {{"--prometheus", "--log", "f"}, "--log and --prometheus"},
      {{"--prometheus", "--watch"}, "--prometheus writes one sample"},
      {{"--prometheus", "--count", "2"}, "--count without"},
      {{"--csv", "--influx"}, "--csv and --influx"},
      {{"--statsd", "a:1", "--csv"}, "--csv and --statsd"},
      {{"--statsd", "a:1", "--watch"}, "--statsd and --watch"},
      {{"--statsd", "a:1", "--all"}, "--statsd follows one server"},
      {{"--statsd", "a"}, "--statsd: \"a\" is no host and port"},
      {{"--dogstatsd"}, "--dogstatsd needs --statsd"},
      {{"--no-header"}, "--no-header without --csv"},
      {{"--log", ""}, "--log"},
      {{"--log="}, "--log needs a value"},
      {{"--pid-file", ""}, "--pid-file"},
      {{"--count", "2"}, "--count without --watch, --log or --statsd"},
      {{"--json", "--count", "2"}, "--count without --watch, --log or --statsd"},
      {{"--duration", "2"}, "--duration without --watch, --log or --statsd"},
      {{"--color", "blue"}, "\"blue\""},
      {{"--color", "always", "--no-color"}, "contradict"},
      {{"--profile", "x"}, "unknown profile \"x\""},
      {{"server"}, "unknown argument: server"},
      {{"--wacth"}, "unknown argument: --wacth"},
      {{"--interval"}, "--interval needs a value"},
      {{"--interval", "1", "--interval", "2"}, "--interval may be given only once"},
      {{"--pid"}, "--pid needs a value"},
      {{"--all", "--pid", "2"}, "--all and --pid contradict each other"},
      {{"--show-secrets"}, "--show-secrets without --raw-paths"},
      {{"--all", "--pid-file", "a"}, "--all and --pid-file contradict each other"},
      {{"--log", "-", "--pid", "1", "--pid", "2"}, "--log follows one server"},
      {{"--log", "-", "--all"}, "--log follows one server"},
      {{"--guess"}, "--guess without --all"},
      {{"--guess", "--pid", "7"}, "--guess without --all"},
      {{"--json", "attach"}, "options stand before the command attach"},
      {{"attach", "--json"}, "unknown argument: --json"},
      {{"attach", "detach"}, "unknown argument: detach"},
      {{"attach", "--max-targets", "0"}, "--max-targets: 0 is out of range"},
      {{"attach", "--max-endpoints", "x"}, "--max-endpoints: \"x\" is not a positive whole number"},
      {{"detach", "--all", "--pid", "2"}, "--all and --pid contradict each other"},
      {{"--pins", "here"}, "--pins: \"here\" cannot be a directory"},
      {{"--pins", "/run/a.b"}, "--pins: \"/run/a.b\" cannot be a directory"},
      {{"--watch", "--interval", "0.001"}, "--interval: 0.001 is out of range"},
      {{"--watch", "--duration", "never"}, "--duration: \"never\" is not a number"},
      {{"--watch", "--count", "0"}, "--count: 0 is out of range"},
      {{"--watch", "--count", "1.5"}, "--count: \"1.5\" is not"},
      {{"--pid", "4194305"}, "--pid: 4194305 is out of range"},
      {{"--pid", "-1"}, "--pid: \"-1\" is not"},
      {{"--pid", "12x"}, "--pid: \"12x\" is not"},
  };
  for (const Case& c : cases) {
    const Error error = refused(c.arguments);
    CAPTURE(error.what);
    CHECK(contains(error.what, c.what));
  }
  CHECK(contains(refused({"--profile", "x"}).hint, "auto, socket or syscall"));
}

TEST_CASE("cli.options.seconds") {
  const std::vector<std::pair<const char*, double>> good = {{"2", 2},      {"0.5", 0.5},          {".5", 0.5},
                                                            {"5.", 5},     {"1e-1", 0.1},         {"1E2", 100},
                                                            {"0.01", .01}, {"31536000", 31536000}};
  for (const auto& one : good) {
    CAPTURE(one.first);
    Result<double> parsed = parse_seconds("--interval", one.first);
    REQUIRE(parsed);
    CHECK(*parsed == one.second);
  }
  for (const char* text :
       {"",      " ",          "nan",  "NaN", "-nan", "inf", "infinity", "-inf", "0",  "-0", "-1", "0.0099", "1e-999",
        "1e999", "31536000.5", "0x10", "1s",  "1 ",   " 1",  "+1",       "1,5",  "1e", "e1", ".",  "--1",    "١"}) {
    CAPTURE(text);
    Result<double> parsed = parse_seconds("--interval", text);
    REQUIRE_FALSE(parsed);
    CHECK(parsed.error().code == ErrorCode::kUsage);
    CHECK(contains(parsed.error().what, "--interval"));
  }
  CHECK(contains(parse_seconds("--interval", "0").error().hint, "0.01"));
  CHECK(contains(parse_seconds("--interval", std::string_view("1\0", 2)).error().what, "is not a number"));
}

TEST_CASE("cli.options.host and port") {
  CHECK(*parse_host_port("--listen", "127.0.0.1:9464") == HostPort{"127.0.0.1", 9464});
  CHECK(*parse_host_port("--listen", "[::1]:0") == HostPort{"::1", 0});
  CHECK(*parse_host_port("--listen", "localhost:65535") == HostPort{"localhost", 65535});
  CHECK(to_string(HostPort{"::1", 80}) == "[::1]:80");
  CHECK(to_string(HostPort{"a", 80}) == "a:80");
  for (const char* text :
       {"", ":", "a", "a:", ":1", "[]:1", "::1:1", "a:65536", "a:-1", "a:1x", "a: 1", "[::1]", "1"}) {
    CAPTURE(text);
    Result<HostPort> parsed = parse_host_port("--listen", text);
    REQUIRE_FALSE(parsed);
    CHECK(contains(parsed.error().what, "--listen"));
  }
}

TEST_CASE("cli.options.monitoring systems") {
  CHECK(accepted({"--prometheus"}).format == Format::kPrometheus);
  CHECK(accepted({"--csv", "--watch"}).format == Format::kCsv);
  CHECK(accepted({"--csv"}).csv_header);
  CHECK_FALSE(accepted({"--csv", "--no-header"}).csv_header);
  CHECK(accepted({"--influx", "--all"}).format == Format::kInflux);
  const ViewOptions statsd = accepted({"--statsd", "[::1]:8125"});
  CHECK(statsd.mode == Mode::kSend);
  CHECK(statsd.statsd == HostPort{"::1", 8125});
  CHECK(statsd.interval_seconds == 10);
  CHECK_FALSE(statsd.dogstatsd);
  CHECK(accepted({"--statsd", "a:1", "--dogstatsd", "--all", "--count", "2"}).dogstatsd);
}

TEST_CASE("cli.options.serve") {
  const auto usual = command<ServeOptions>({"serve"});
  CHECK(usual.listen == HostPort{"127.0.0.1", 9464});
  CHECK_FALSE(usual.servers.all);
  const auto serve =
      command<ServeOptions>({"serve", "--all", "--listen", "[::]:80", "--raw-paths", "--pins", "/run/a"});
  CHECK(serve.servers.all);
  CHECK(serve.listen == HostPort{"::", 80});
  CHECK(serve.engine.raw_paths);
  CHECK(serve.pins == "/run/a");
  CHECK(command<ServeOptions>({"serve", "--pid", "1", "--pid", "2"}).servers.pids.size() == 2);
  CHECK(contains(refused({"serve", "--listen", "9464"}).what, "--listen: \"9464\" is no host and port"));
  CHECK(contains(refused({"serve", "--json"}).what, "unknown argument: --json"));
  CHECK(contains(printed({"serve", "--help"}), "--listen HOST:PORT"));
}

TEST_CASE("cli.options.positive numbers") {
  CHECK(*parse_positive("--count", "18446744073709551615", UINT64_MAX) == UINT64_MAX);
  CHECK(*parse_positive("--pid", "1", 10) == 1);
  CHECK(*parse_positive("--pid", "10", 10) == 10);
  for (const char* text : {"", "0", "11", "-1", "+1", "1.0", "1e1", "0x1", " 1", "1 ", "18446744073709551616", "x"}) {
    CAPTURE(text);
    CHECK_FALSE(parse_positive("--pid", text, 10));
  }
}

TEST_CASE("cli.options.the log's interval from the environment") {
  const Variables seven = {{"MONITOR_UPDATE_INTERVAL", "7.5"}};
  CHECK(accepted({"--log", "f"}, seven).interval_seconds == 7.5);
  CHECK(accepted({"--log", "f", "--interval", "3"}, seven).interval_seconds == 3);
  CHECK(accepted({"--watch"}, seven).interval_seconds == 2);
  CHECK(accepted({"--log", "f"}, {{"MONITOR_UPDATE_INTERVAL", ""}}).interval_seconds == 5);
  const Variables bad = {{"MONITOR_UPDATE_INTERVAL", "soon"}};
  CHECK(contains(refused({"--log", "f"}, bad).what, "MONITOR_UPDATE_INTERVAL: \"soon\""));
  CHECK(accepted({"--watch"}, bad).interval_seconds == 2);  // not read
}

TEST_CASE("cli.appearance.color") {
  const Variables xterm = {{"TERM", "xterm"}};
  const Variables no_color = {{"TERM", "xterm"}, {"NO_COLOR", "1"}};
  const Variables empty_no_color = {{"TERM", "xterm"}, {"NO_COLOR", ""}};
  const Variables dumb = {{"TERM", "dumb"}};
  struct Case {
    ColorChoice choice;
    bool terminal;
    Variables variables;
    bool color;
  };
  for (const Case& c : std::vector<Case>{{ColorChoice::kAuto, true, xterm, true},
                                         {ColorChoice::kAuto, false, xterm, false},
                                         {ColorChoice::kAuto, true, no_color, false},
                                         {ColorChoice::kAuto, true, empty_no_color, true},
                                         {ColorChoice::kAuto, true, dumb, false},
                                         {ColorChoice::kAuto, true, {}, false},
                                         {ColorChoice::kAlways, false, no_color, true},
                                         {ColorChoice::kAlways, true, dumb, true},
                                         {ColorChoice::kNever, true, xterm, false}}) {
    CHECK(use_color(c.choice, c.terminal, environment_of(c.variables)) == c.color);
  }
  CHECK(is_smart_terminal(true, environment_of(no_color)));
  CHECK_FALSE(is_smart_terminal(true, environment_of({{"TERM", ""}})));
}

}  // namespace monitor
