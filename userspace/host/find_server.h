// SPDX-License-Identifier: Apache-2.0
// Finds the server that the operator means: by pid, by PID file, or by searching the machine.
#pragma once

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "host/procfs.h"
#include "host/program_reader.h"
#include "model/evidence.h"
#include "model/listeners.h"

namespace monitor {

struct Server {
  pid_t pid = 0;        // root of its process tree
  std::string command;  // may hold hostile bytes, as the other strings may
  std::vector<std::string> listen;
  Evidence evidence = Evidence::kNamed;
  std::string kind;                 // "uvicorn"; "python" with a guess; empty if nobody asked
  std::string program;              // without the interpreter and directories: "main.py"
  std::string application;          // "app:app"; empty if unknown
  std::string title;                // the program with its application or its arguments
  pid_t outer = 0;                  // the server in whose tree it is, without being a part of it; 0: it is in no tree
  std::size_t workers = 0;          // processes that hold a listening socket and have no child that does
  std::vector<Server> passed_over;  // others that the search found, when this one was chosen
};

struct ServerRequest {
  std::optional<pid_t> pid;             // --pid
  std::optional<std::string> pid_file;  // --pid-file
  std::string default_pid_file = "logs/proxy.pid";
  // Processes that are known to be servers whatever they are called; used when neither a pid nor a PID file is given. A
  // single one is the result without further checks.
  std::vector<pid_t> known = {};
  // A search chooses among the servers that have one of these listeners.
  ListenerChoice listeners = {};
  std::string command = "monitor";  // that the operator ran, for hints: "monitor attach"
  bool name_others = false;         // search for `passed_over` although a single process is known
};

struct FoundServers {
  std::vector<Server> servers;
  // Processes with a server's name whose sockets we are not permitted to see, each with the reason.
  std::vector<std::pair<pid_t, Error>> refused;
  // Processes with a server's name that do not listen yet, each with an error that says so.
  std::vector<Error> starting;
};

enum class Guesses { kLeaveOut, kTakeIn };

// Every process on the machine that serves HTTP from Python, and those of `known`, each by the root of its process
// tree, the strongest evidence first. A process counts only if its tree listens. A process that its command line names
// is a root of its own unless it descends from another such process. One with weaker evidence must hold a listening
// socket itself and descend from no other server; it belongs to the process that started it with multiprocessing or by
// fork. A program that a server started, and that listens only where the server does not, is a server of its own
// (`outer`). `programs` saves reading the same files at each of several searches.
FoundServers find_servers(const ProcFs& proc, const std::vector<pid_t>& known = {},
                          Guesses guesses = Guesses::kLeaveOut, ProgramReader* programs = nullptr);

// The server whose root the process is, as the operator named it.
Server named_server(const ProcFs& proc, pid_t pid, Evidence evidence = Evidence::kNamed);

// The one server that the request means. A search prefers stronger evidence and returns the others in `passed_over`;
// compiled modules and scripts count the same. Fails with kNoTarget and a hint if there is no server (the error names
// where it searched), if it does not listen (a server that is starting is named as such), or if several have the
// strongest evidence (the hint lists the command to pick each).
Result<Server> resolve_server(const ProcFs& proc, const ServerRequest& request);

}  // namespace monitor
