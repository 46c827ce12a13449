// SPDX-License-Identifier: Apache-2.0
// Finds the server that the operator means: by pid, by pid file, or by looking for one on the machine.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/procfs.h"

namespace monitor {

struct Server {
  pid_t pid = 0;        // root of its process tree
  std::string command;  // may hold hostile bytes
  std::vector<std::string> listen;
};

struct ServerRequest {
  std::optional<pid_t> pid;             // --pid
  std::optional<std::string> pid_file;  // --pid-file
  std::string default_pid_file = "logs/proxy.pid";
  // Servers by whatever name, when it is looked for one. When there is just one it is meant, and not looked at further.
  std::vector<pid_t> known = {};
};

struct FoundServers {
  std::vector<Server> servers;
  // Called like a server, but whether it listens is not ours to see; and why.
  std::vector<std::pair<pid_t, Error>> refused;
};

// Roots of the uvicorn, gunicorn and hypercorn process trees on the machine that listen somewhere: by the program's
// name, by `python -m uvicorn` and its like, or as a child of such a process. And those of `known` that listen.
FoundServers find_servers(const ProcFs& proc, const std::vector<pid_t>& known = {});

// The one server meant. Fails with kNoTarget and a hint when there is none (saying what was looked at), when it does
// not listen, or when there are several (listing the command to pick each).
Result<Server> resolve_server(const ProcFs& proc, const ServerRequest& request);

}  // namespace monitor
