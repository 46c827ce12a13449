// SPDX-License-Identifier: Apache-2.0
// Servers that do not listen: they are loading their application, or their workers keep failing to load it. From
// outside the two look alike. Private to host/.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/result.h"
#include "host/procfs.h"

namespace monitor {

// Whether one of the processes is a server by its command line or by what its program imports.
bool has_server_by_name(const ProcFs& proc, const std::vector<pid_t>& tree);

// The error for a server, given by its process tree, that does not listen yet. The hint says what to do.
Error still_starting(const ProcFs& proc, const std::vector<pid_t>& tree);

// "process 42 (uvicorn app:app)", without the interpreter and directories: a deep venv would leave no room for the
// rest.
std::string process_called(const ProcFs& proc, pid_t pid);

}  // namespace monitor
