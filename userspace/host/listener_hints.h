// SPDX-License-Identifier: Apache-2.0
// What is known of a server before anything passes: whether and where it serves HTTP, and how long it keeps idle
// connections open.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "host/procfs.h"
#include "model/listeners.h"

namespace monitor {

// `arguments` are those of process `root`. Options of uvicorn, gunicorn, hypercorn, granian and daphne, with their
// defaults where the command line starts one of these by name; of another program, only what is an option for an
// address (--port, --bind and their short forms).
ListenerHints read_listener_hints(pid_t root, const std::vector<std::string>& arguments);

// The same for a running process, with what its program, its environment and its settings say, or those of the first
// process below it that shows a server. Empty if it has ended.
ListenerHints listener_hints(const ProcFs& proc, pid_t root);

}  // namespace monitor
