// SPDX-License-Identifier: Apache-2.0
// Finds the server that the operator means: by pid, by PID file, or by searching the machine.
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
  // Processes that are known to be servers whatever they are called; used when neither a pid nor a PID file is given. A
  // single one is the result without further checks.
  std::vector<pid_t> known = {};
};

struct FoundServers {
  std::vector<Server> servers;
  // Processes with a server's name whose sockets we are not permitted to see, each with the reason.
  std::vector<std::pair<pid_t, Error>> refused;
};

// The uvicorn, gunicorn and hypercorn servers on the machine, and those of `known`, each by the root of its process
// tree. A process counts by its command line (server_program() in command_line.h), and only if its tree listens.
FoundServers find_servers(const ProcFs& proc, const std::vector<pid_t>& known = {});

// The one server that the request means. Fails with kNoTarget and a hint if there is no server (the error names where
// it searched), if it does not listen, or if there are several (the hint lists the command to pick each).
Result<Server> resolve_server(const ProcFs& proc, const ServerRequest& request);

}  // namespace monitor
