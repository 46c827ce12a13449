// SPDX-License-Identifier: Apache-2.0
// Searches all processes for servers. Private to host/.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <string>
#include <vector>

#include "host/command_line.h"
#include "host/find_server.h"
#include "host/procfs.h"
#include "host/program_reader.h"

namespace monitor {

// The result of a search of the whole machine.
struct Survey {
  std::vector<Server> servers;               // the strongest evidence first, then by pid
  std::vector<pid_t> refused;                // have a server's name, but we are not permitted to see their descriptors
  std::vector<std::vector<pid_t>> starting;  // process trees with a server's name, but no listening socket
  std::size_t processes = 0;                 // examined in total
};

// `programs` keeps what was read of the processes' programs for the next search; null: read anew. `known` are servers
// whatever they are called.
Survey survey_machine(const ProcFs& proc, ProgramReader* programs = nullptr, const std::vector<pid_t>& known = {});

// Whether we are not permitted to see the descriptors of one of the processes.
bool any_refused(const ProcFs& proc, const std::vector<pid_t>& tree);

// What a command line says of a server.
Server described(const CommandLine& line, std::string command);

}  // namespace monitor
