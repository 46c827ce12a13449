// SPDX-License-Identifier: Apache-2.0
// Processes for tests of which processes are servers.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "host/find_server.h"
#include "unit/fake_proc.h"

namespace monitor::testing {

// Listens on 0.0.0.0:9999, unless told otherwise.
inline Process python(pid_t pid, const Strings& arguments, std::vector<Entry> more = {}, bool listens = true) {
  Process process{.pid = pid, .arguments = arguments};
  if (listens) {
    process.sockets = {pid};
    process.tcp = tcp_line(kAnyPort, pid);
  }
  process.more = std::move(more);
  return process;
}

inline Entry maps(const std::string& path) {
  return file("maps", "7f00-7f01 r-xp 00000000 fe:01 1 [vdso]\n7f01-7f02 r-xp 00000000 fe:01 12   " + path + "\n");
}

// "42 uvicorn command" for each server, guesses too.
inline std::vector<std::string> evidence(const FakeProc& fake, const std::vector<pid_t>& known = {}) {
  std::vector<std::string> found;
  for (const Server& server : find_servers(fake.proc(), known, Guesses::kTakeIn).servers) {
    found.push_back(std::to_string(server.pid) + " " + server.kind + " " + std::string(evidence_name(server.evidence)));
  }
  return found;
}

inline Result<Server> search(const FakeProc& fake) {
  return resolve_server(fake.proc(),
                        {.pid = {}, .pid_file = {}, .default_pid_file = "/nonexistent/logs/proxy.pid", .known = {}});
}

// How multiprocessing starts a process.
inline constexpr const char* kSpawned = "from multiprocessing.spawn import spawn_main; spawn_main(tracker_fd=5)";

}  // namespace monitor::testing
