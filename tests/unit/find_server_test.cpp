// SPDX-License-Identifier: Apache-2.0
// Finding the server that the operator means: which command lines count as a server, and every error.
#include "host/find_server.h"

#include <doctest/doctest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>
#include <string>
#include <vector>

#include "base/boot_clock.h"
#include "host/command_line.h"
#include "unit/fake_proc.h"

namespace monitor::testing {
namespace {

// Root can read everything. This drops root's effective user id for a scope, so that tests of a refusal work as root.
class Unprivileged {
 public:
  Unprivileged() : was_root_(::geteuid() == 0) {
    if (was_root_) {
      REQUIRE(::seteuid(65534) == 0);
    }
  }
  Unprivileged(const Unprivileged&) = delete;
  Unprivileged& operator=(const Unprivileged&) = delete;
  ~Unprivileged() {
    if (was_root_ && ::seteuid(0) != 0) {
      std::abort();
    }
  }

 private:
  bool was_root_;
};

Process server(pid_t pid, int inode = 900) {
  return {.pid = pid,
          .arguments = {"/usr/bin/python3", "/usr/bin/uvicorn", "app:app"},
          .sockets = {inode},
          .tcp = tcp_line(kAnyPort, inode)};
}

ServerRequest nothing_named() {
  return {.pid = {}, .pid_file = {}, .default_pid_file = "/nonexistent/logs/proxy.pid"};
}
ServerRequest by_pid(pid_t pid) {
  return {.pid = pid, .pid_file = {}};
}
ServerRequest by_file(const std::string& path) {
  return {.pid = {}, .pid_file = path};
}

Error failure(const FakeProc& fake, const ServerRequest& request) {
  auto result = resolve_server(fake.proc(), request);
  REQUIRE_FALSE(result);
  return result.error();
}

}  // namespace

TEST_CASE("host.find_servers: one root per tree that listens") {
  Process master = server(100);
  master.parent = 90;
  master.arguments = {"gunicorn: master [app]"};
  const FakeProc fake({{.pid = 1, .parent = 0, .arguments = {"/sbin/init"}},
                       {.pid = 90, .arguments = {"sudo", "gunicorn", "app"}},
                       master,
                       {.pid = 101, .parent = 100, .arguments = {"gunicorn: worker [app]"}, .sockets = {900}},
                       // Only the grandchild listens, with a shell in between.
                       {.pid = 200, .arguments = {"python3", "-m", "uvicorn", "a:a"}},
                       {.pid = 201, .parent = 200, .arguments = {"sh", "-c", "x"}},
                       {.pid = 202,
                        .parent = 201,
                        .arguments = {"uvicorn", "b:b"},
                        .sockets = {901},
                        .tcp = tcp_line("0100007F:0050", 901)},
                       {.pid = 300, .arguments = {"uvicorn", "not:listening"}},
                       {.pid = 400,
                        .arguments = {"nginx"},
                        .sockets = {902},
                        .tcp = tcp_line(kAnyPort, 902),
                        .executable = "/usr/sbin/nginx"}});
  const auto servers = find_servers(fake.proc()).servers;
  REQUIRE(servers.size() == 2);
  CHECK(servers[0].pid == 100);
  CHECK(servers[0].command == "gunicorn: master [app]");
  CHECK(servers[0].listen == Strings{"0.0.0.0:9999"});
  CHECK(servers[1].pid == 200);
}

TEST_CASE("host.resolve_server: --pid of a root, a worker or any program that listens") {
  Process custom = server(300, 902);
  custom.arguments = {"python3", "server.py"};
  const FakeProc fake(
      {server(100), {.pid = 101, .parent = 100, .sockets = {900}, .tcp = tcp_line(kAnyPort, 900)}, custom});
  for (const pid_t pid : {100, 101, 300}) {
    CAPTURE(pid);
    const auto found = resolve_server(fake.proc(), by_pid(pid));
    REQUIRE(found);
    CHECK(found->pid == pid);
    CHECK(found->listen == Strings{"0.0.0.0:9999"});
  }
}

TEST_CASE("host.resolve_server: a listener chooses among the servers that a search finds") {
  Process other = server(200, 901);
  other.tcp = tcp_line("0100007F:1F41", 901);  // 127.0.0.1:8001
  const FakeProc fake({server(100), other});
  ServerRequest request = nothing_named();
  request.listeners.ports = {8001};
  CHECK(resolve_server(fake.proc(), request)->pid == 200);
  request.known = {100};  // attached, and not meant
  CHECK(resolve_server(fake.proc(), request)->pid == 200);
  request.listeners = {.ports = {}, .addresses = {"0.0.0.0:9999"}};
  CHECK(resolve_server(fake.proc(), request)->pid == 100);
  request.listeners = {.ports = {8002}, .addresses = {}};
  const Error error = failure(fake, request);
  CHECK(error.what == "no server on this machine has such a listener");
  CHECK(contains(error.hint, "sudo monitor --pid 200    # 127.0.0.1:8001  "));
}

TEST_CASE("host.resolve_server: --pid of a missing process, a zombie or a thread") {
  const FakeProc fake({server(100), {.pid = 7, .state = "Z"}},
                      {directory("55", {file("status", "Name:\tx\nTgid:\t100\n")})});
  CHECK(failure(fake, by_pid(4242)).code == ErrorCode::kNoTarget);
  CHECK(failure(fake, by_pid(4242)).what == "no process 4242");
  CHECK(contains(failure(fake, by_pid(4242)).hint, "sudo monitor --pid 100    # 0.0.0.0:9999  "));
  CHECK(failure(fake, by_pid(-1)).what == "no process -1");
  CHECK(contains(failure(fake, by_pid(7)).what, "no process 7"));
  CHECK(fake.proc().thread_group(55) == 100);
  CHECK(fake.proc().thread_group(56) == std::nullopt);
}

TEST_CASE("host.resolve_server: --pid of a tree that does not listen names the files that were read") {
  const FakeProc fake({{.pid = 123, .arguments = {"bash", "\x1b[2J\xff\\"}},
                       {.pid = 124, .parent = 123, .sockets = {5}, .tcp = tcp_line(kAnyPort, 5, "01")},
                       {.pid = 125, .parent = 124}});
  const Error error = failure(fake, by_pid(123));
  CHECK(error.code == ErrorCode::kNoTarget);
  CHECK(error.what ==
        "process 123 (bash \\x1b[2J\\xff\\\\) and its 2 descendants have no listening socket: looked at " +
            (fake / "123/net/tcp, tcp6 and unix"));
  CHECK_FALSE(error.hint.empty());
  CHECK(contains(failure(fake, by_pid(124)).what, "and its 1 descendant have"));
  CHECK(contains(failure(fake, by_pid(125)).what, "process 125 (python3) has no listening socket"));
}

TEST_CASE("host.resolve_server: permission denied is not reported as \"does not listen\"") {
  const FakeProc fake({server(100)});
  fs::permissions(fake / "100/fd", fs::perms::none);
  {
    const Unprivileged unprivileged;
    for (const ServerRequest& request : {by_pid(100), nothing_named()}) {
      const Error error = failure(fake, request);
      CHECK(error.code == ErrorCode::kNotPermitted);
      CHECK(contains(error.what, "CAP_SYS_PTRACE"));
      CHECK(contains(error.what, "process 100 (uvicorn app:app)"));
      CHECK(contains(error.hint, "sudo"));
    }
  }
  fs::permissions(fake / "100/fd", fs::perms::owner_all);
}

TEST_CASE("host.resolve_server: --pid-file with the pid of a server") {
  const FakeProc fake({server(100)});
  for (const char* content : {"100", "100\n", "  100 \r\n\n", "0100"}) {
    CAPTURE(content);
    const TempDirectory files({file("p", content)});
    const auto found = resolve_server(fake.proc(), by_file(files / "p"));
    REQUIRE(found);
    CHECK(found->pid == 100);
  }
  const TempDirectory files({file("real", "100\n"), link("p", "real")});
  CHECK(resolve_server(fake.proc(), by_file(files / "p")));
}

TEST_CASE("host.resolve_server: --pid-file with any other content") {
  struct Row {
    std::string content;
    const char* says;
  };
  const std::vector<Row> rows = {
      {"", "is empty"},
      {" \n", "holds nothing but blanks"},
      {"abc", "does not hold a pid but \"abc\""},
      {"12x", "does not hold a pid but \"12x\""},
      {"+12", "does not hold a pid"},
      {"12\n13", "does not hold a pid but \"12\\x0a13\""},
      {"1.5", "does not hold a pid"},
      {"\x1b]0;x\x07", "does not hold a pid but \"\\x1b]0;x\\x07\""},
      {std::string("12\0", 3), "does not hold a pid but \"12\\x00\""},
      {"0", "holds \"0\", which no process can have"},
      {"-5", "holds \"-5\", which no process can have"},
      {"99999999999999999999", "which no process can have"},
      {std::string(1 << 20, '1'), "holds more than a pid: it begins \"1111"},
      {"4242", "names 4242: no process 4242"},
      {"200", "names 200: process 200 (python3) has no listening socket"},
  };
  const FakeProc fake({server(100), {.pid = 200}});
  for (const Row& row : rows) {
    CAPTURE(row.says);
    const TempDirectory files({file("p", row.content)});
    const Error error = failure(fake, by_file(files / "p"));
    CHECK(error.code == ErrorCode::kNoTarget);
    CHECK(contains(error.what, "PID file " + (files / "p")));
    CHECK(contains(error.what, row.says));
    CHECK(error.what.size() < 1000);
    CHECK_FALSE(error.hint.empty());
  }
}

TEST_CASE("host.resolve_server: --pid-file that is not a regular file, is missing or cannot be read") {
  const FakeProc fake({server(100)});
  const TempDirectory files({directory("d", {}), file("secret", "100"), link("dangling", "nothing")});
  REQUIRE(::mkfifo((files / "fifo").c_str(), 0644) == 0);
  CHECK(contains(failure(fake, by_file(files / "d")).what, "is a directory"));
  CHECK(contains(failure(fake, by_file(files / "fifo")).what, "is not a regular file"));
  CHECK(contains(failure(fake, by_file("/dev/zero")).what, "is not a regular file"));
  for (const char* name : {"missing", "dangling", "secret/below"}) {
    CAPTURE(name);
    const Error error = failure(fake, by_file(files / name));
    CHECK(error.code == ErrorCode::kNoTarget);
    CHECK(error.what == "Proxy is not running (no PID file): " + (files / name) + " does not exist");
  }
  fs::permissions(files / "secret", fs::perms::none);
  const Unprivileged unprivileged;
  CHECK(contains(failure(fake, by_file(files / "secret")).what, "cannot be read: Permission denied"));
}

TEST_CASE("host.resolve_server: the default PID file") {
  const FakeProc fake({server(100), {.pid = 200}});
  const TempDirectory files({file("good", "100\n"), file("stale", "4242\n"), file("bad", "x")});
  const auto with = [&](const char* name) {
    return ServerRequest{.pid = {}, .pid_file = {}, .default_pid_file = files / name};
  };
  CHECK(resolve_server(fake.proc(), with("good")));
  CHECK(resolve_server(fake.proc(), with("missing")));  // falls back to a search
  CHECK(contains(failure(fake, with("stale")).what, "names 4242: no process 4242"));
  CHECK(contains(failure(fake, with("stale")).hint, "sudo monitor --pid 100 "));
  CHECK(contains(failure(fake, with("bad")).what, "does not hold a pid but \"x\""));
  CHECK(contains(failure(fake, with("bad")).hint, "sudo monitor --pid 100 "));
}

TEST_CASE("host.resolve_server: search that finds one, several or no servers") {
  const FakeProc one({server(100), {.pid = 200}});
  const auto found = resolve_server(one.proc(), nothing_named());
  REQUIRE(found);
  CHECK(found->pid == 100);

  // A single known server is the result, no matter how many other servers run.
  ServerRequest attached = nothing_named();
  attached.known = {200};
  const FakeProc others({server(100), server(150, 901), {.pid = 200}});
  const auto known = resolve_server(others.proc(), attached);
  REQUIRE(known);
  CHECK(known->pid == 200);
  CHECK(known->passed_over.empty());
  attached.name_others = true;
  const auto among_others = resolve_server(others.proc(), attached);
  REQUIRE(among_others);
  CHECK(among_others->pid == 200);
  REQUIRE(among_others->passed_over.size() == 2);
  CHECK(among_others->passed_over.back().pid == 150);

  Process hostile = server(300, 901);
  hostile.arguments = {"uvicorn", "\x1b[31m\n  sudo reboot", std::string(500, 'a')};
  hostile.unix_sockets = unix_line("00010000", "0001", 901, "/run/\x07x");
  const FakeProc several({server(100), hostile});
  const Error error = failure(several, nothing_named());
  CHECK(error.code == ErrorCode::kNoTarget);
  CHECK(contains(error.what, "2 servers"));
  CHECK(contains(error.hint, "\n  sudo monitor --pid 100    # 0.0.0.0:9999  uvicorn app:app\n"));
  CHECK(contains(
      error.hint,
      "\n  sudo monitor --pid 300    # 0.0.0.0:9999, unix:/run/\\x07x  uvicorn \\x1b[31m\\x0a  sudo reboot aaa"));
  CHECK(error.hint.size() < 400);

  ServerRequest to_attach = nothing_named();
  to_attach.command = "monitor attach";
  Process guess = server(5, 902);
  guess.arguments = {"python3", "-m", "http.server"};
  const FakeProc with_guess({server(100), server(1500, 901), guess});
  const Error choice = failure(with_guess, to_attach);
  CHECK(choice.what == "2 servers run on this machine");
  CHECK(contains(choice.hint, "choose one (the last is a guess):\n  sudo monitor attach --pid 100     # 0.0.0.0:9999"));
  CHECK(contains(choice.hint, "\n  sudo monitor attach --pid 1500    # 0.0.0.0:9999"));
  CHECK(contains(choice.hint, "\n  sudo monitor attach --pid 5       # 0.0.0.0:9999"));

  const FakeProc none(std::vector<Process>{{.pid = 200}, {.pid = 201, .arguments = {"vim", "uvicorn"}}});
  CHECK(failure(none, nothing_named()).what ==
        "Proxy is not running (no PID file): /nonexistent/logs/proxy.pid does not exist, and no HTTP server in Python "
        "that listens was found among the 2 processes of " +
            none.proc().path());
}

TEST_CASE("host.resolve_server: a server that does not listen is starting, or failing to start") {
  Process supervisor{.pid = 300, .arguments = {"python3", "-m", "uvicorn", "a:a", "--workers", "2"}};
  Process guess = server(500, 905);
  guess.arguments = {"python3", "-m", "http.server"};
  const std::vector<Process> starting = {
      {.pid = 200, .arguments = {"sleep", "infinity"}},
      supervisor,
      {.pid = 301, .parent = 300, .arguments = {"python3", "-c", "from multiprocessing.spawn import spawn_main"}},
      guess,
      {.pid = 600, .arguments = {"python3", "-c", "import uvicorn; import slow"}}};
  const FakeProc fake(starting);
  const std::string says =
      "process 300 (uvicorn a:a --workers 2) is still starting, or failing to start: it and its 1 descendant "
      "have no listening socket after ";
  const TempDirectory files({file("p", "300\n")});
  const ServerRequest by_default_file{.pid = {}, .pid_file = {}, .default_pid_file = files / "p"};
  for (const ServerRequest& request : {by_pid(300), nothing_named(), by_default_file, by_file(files / "p")}) {
    const Error error = failure(fake, request);
    CHECK(error.code == ErrorCode::kNoTarget);
    CHECK(contains(error.what, says));
    CHECK(error.hint == "wait until it has loaded its application; if it does not, its output says why");
  }
  CHECK(failure(fake, nothing_named()).what.starts_with(says));
  // By what its program imports, if the operator names it. A search does not take every Python for a server.
  CHECK(contains(
      failure(fake, by_pid(600)).what,
      "process 600 (python3 -c import uvicorn; import slow) is still starting, or failing to start: it has no"));
  CHECK(contains(failure(fake, by_pid(200)).what, "process 200 (sleep infinity) has no listening socket: looked at"));
  // Other servers come after the advice.
  std::vector<Process> beside = starting;
  beside.push_back(server(100));
  const FakeProc two(beside);
  CHECK(contains(failure(two, by_pid(300)).hint,
                 "its output says why\none server was found on this machine:\n  sudo monitor --pid 100 "));
  CHECK(resolve_server(two.proc(), nothing_named())->pid == 100);
  // A search reports each.
  const FoundServers found = find_servers(two.proc());
  REQUIRE(found.starting.size() == 1);
  CHECK(contains(found.starting.front().what, says));
}

TEST_CASE("host.resolve_server: a server whose workers keep ending, and where its output goes") {
  const auto ticks = static_cast<int>(seconds_since_boot() * static_cast<double>(::sysconf(_SC_CLK_TCK)));
  const FakeProc fake({{.pid = 300,
                        .arguments = {"uvicorn", "a:a"},
                        .start = ticks - 60 * static_cast<int>(::sysconf(_SC_CLK_TCK)),
                        .output = "/var/log/a\x1b.log"},
                       {.pid = 301, .parent = 300, .arguments = {"python3"}, .start = ticks}});
  const Error error = failure(fake, by_pid(300));
  CHECK(contains(error.what, "have no listening socket after 60 s; its newest process is "));
  CHECK(contains(error.what, " s old, as when workers keep ending"));
  CHECK(error.hint.ends_with("its output says why: /var/log/a\\x1b.log"));
}

TEST_CASE("host.printable: every byte becomes printable ASCII") {
  for (int byte = 0; byte < 256; ++byte) {
    CAPTURE(byte);
    const std::string text = printable(std::string(1, static_cast<char>(byte)), 10);
    for (const char c : text) {
      CHECK((c >= ' ' && c <= '~'));
    }
    CHECK(text.size() == (byte == '\\' ? 2U : byte >= ' ' && byte <= '~' ? 1U : 4U));
  }
  CHECK(printable("abcdef", 6) == "abcdef");
  CHECK(printable("abcdefg", 6) == "abcdef...");
  CHECK(printable("abcd\x01", 6) == "abcd...");
}

}  // namespace monitor::testing
