// SPDX-License-Identifier: Apache-2.0
// Finds out whether a Python program is an HTTP server by what it imports. Private to host/.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <utility>

#include "host/command_line.h"
#include "host/procfs.h"

namespace monitor {

// The server that a program runs, and where it says so.
struct ProgramServer {
  std::string server;   // or framework; empty if none is known
  std::string sources;  // of the program's own files, one after another; empty if only its package names the server
};

// Reads programs once each: a search of the machine every second must not read the same files again.
class ProgramReader {
 public:
  // The server or framework that the process's program imports, or that the package of its console script requires;
  // empty if it names no known one, or its files cannot be read.
  std::string server_of(const ProcFs& proc, pid_t pid, const CommandLine& line);

  // Whether a process whose executable is not called like an interpreter runs Python all the same: a renamed one, or a
  // program that has it built in.
  bool embeds_python(const ProcFs& proc, pid_t pid, const std::string& executable);

 private:
  std::map<std::pair<pid_t, std::string>, std::string> known_;  // by pid and arguments
  std::map<std::pair<pid_t, std::string>, bool> embeds_;        // by pid and executable
};

// The same as ProgramReader::server_of(), with all of the program's own files that are read for it. Remembers nothing.
ProgramServer read_program(const ProcFs& proc, pid_t pid, const CommandLine& line);

// The HTTP server whose compiled module the process maps; empty if it maps no such module.
std::string mapped_server(const ProcFs& proc, pid_t pid);

}  // namespace monitor
