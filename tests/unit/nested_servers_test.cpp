// SPDX-License-Identifier: Apache-2.0
// Servers that other servers started: which are servers of their own, and which are parts.
#include <doctest/doctest.h>

#include <string>
#include <vector>

#include "host/find_server.h"
#include "unit/fake_proc.h"
#include "unit/processes.h"

namespace monitor::testing {

namespace {

// Listens on a port of its own: 127.0.0.1, and the pid as the port.
Process elsewhere(pid_t pid, pid_t parent, const Strings& arguments, std::vector<Entry> more = {}) {
  Process process = python(pid, arguments, std::move(more));
  process.parent = parent;
  constexpr const char* kDigits = "0123456789ABCDEF";
  const std::string port = {'0', '0', kDigits[pid / 16 % 16], kDigits[pid % 16]};
  process.tcp = tcp_line("0100007F:" + port, pid);
  return process;
}

// "31 in 30" for each server in the tree of another one.
Strings nested(const FakeProc& fake, const std::vector<pid_t>& known = {}) {
  Strings found;
  for (const Server& server : find_servers(fake.proc(), known, Guesses::kTakeIn).servers) {
    found.push_back(std::to_string(server.pid) + (server.outer != 0 ? " in " + std::to_string(server.outer) : "") +
                    " " + std::to_string(server.listen.size()));
  }
  return found;
}

}  // namespace

TEST_CASE("host.find_servers: a server that another one started is a server of its own") {
  const Strings uvicorn = {"python3", "-m", "uvicorn", "a:b"};
  const Entry main = directory("cwd", {file("main.py", "import uvicorn\n")});
  Process shell{.pid = 50, .parent = 10, .arguments = {"sh", "-c", "x"}, .executable = "/bin/sh"};
  const FakeProc fake({elsewhere(10, 1, uvicorn), elsewhere(11, 10, {"python3", "-m", "uvicorn", "engine:app"}),
                       elsewhere(12, 10, {"python3", "main.py"}, {main}),
                       elsewhere(13, 10, {"python3", "x.py"}, {maps("/v/uvloop/loop.so")}),
                       elsewhere(14, 10, {"python3", "-c", "import http.server"}), shell,
                       elsewhere(51, 50, {"python3", "-m", "gunicorn", "c:d"})});
  CHECK(nested(fake) == Strings{"10 1", "11 in 10 1", "51 in 10 1", "12 in 10 1", "13 in 10 1", "14 in 10 1"});
  CHECK(evidence(fake) == Strings{"10 uvicorn command", "11 uvicorn command", "51 gunicorn command",
                                  "12 uvicorn script", "13 uvloop modules", "14 python listens"});
  CHECK(nested(fake, {10, 12}) ==
        Strings{"10 1", "12 in 10 1", "11 in 10 1", "51 in 10 1", "13 in 10 1", "14 in 10 1"});
  // The application comes before what it starts.
  const auto shown = search(fake);
  REQUIRE(shown);
  CHECK(shown->pid == 10);
  CHECK(shown->passed_over.size() == 5);
}

TEST_CASE("host.find_servers: a supervisor and its workers stay one server") {
  const auto one = [](std::vector<Process> processes) { return nested(FakeProc(std::move(processes))); };
  const Strings uvicorn = {"python3", "-m", "uvicorn", "a:b"};
  // A worker with a port of its own beside the shared one, started by a fork, by multiprocessing, or under a title.
  CHECK(one({elsewhere(10, 1, uvicorn), elsewhere(11, 10, uvicorn), elsewhere(12, 10, {"python3", "-c", kSpawned})}) ==
        Strings{"10 3"});
  CHECK(one({elsewhere(10, 1, {"gunicorn: master [a]"}), elsewhere(11, 10, {"gunicorn: worker [a]"})}) ==
        Strings{"10 2"});
  const Entry module = maps("/v/granian/_granian.so");
  Process main = python(10, {"shop"}, {}, false);
  CHECK(one({main, elsewhere(11, 10, {"shop worker-1"}, {module}), elsewhere(12, 10, {"shop worker-2"}, {module})}) ==
        Strings{"10 2"});
  // A program of its own that serves on the same address: a new master, or one with an inherited socket.
  Process heir = python(11, {"python3", "-m", "uvicorn", "--fd", "3", "a:b"});
  heir.parent = 10;
  CHECK(one({python(10, uvicorn), heir}) == Strings{"10 1"});
  // One that serves for a parent which does not listen.
  Process reloader = python(10, {"python3", "-m", "fastapi", "dev"}, {}, false);
  CHECK(one({reloader, elsewhere(11, 10, {"python3", "-m", "uvicorn", "a:b"})}) == Strings{"10 1"});
  // Parts of a server that have set a title, notebooks' kernels, and what serves on Unix sockets only.
  Process engine = elsewhere(11, 10, {"VLLM::EngineCore"}, {maps("/v/uvloop/loop.so")});
  Process kernel = elsewhere(12, 10, {"python3", "-m", "bash_kernel", "-f", "/run/jupyter/kernel-1.json"});
  Process local = python(13, {"python3", "local.py"}, {}, false);
  local.parent = 10;
  local.sockets = {99};
  local.unix_sockets = unix_line("00010000", "0001", 99, "/run/local.sock");
  const Strings all = one({elsewhere(10, 1, uvicorn), engine, kernel, local});
  CHECK(all == Strings{"10 4"});
}

}  // namespace monitor::testing
