// SPDX-License-Identifier: Apache-2.0
// Which server an installed package is, or requires, by the metadata that is installed with it. Private to host/.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "host/procfs.h"

namespace monitor {

// The directories of installed modules of a process: of the environment that `program` ("/venv/bin/python", as this
// process sees it; may be empty) is in, and those that it maps compiled modules from.
std::vector<std::string> package_directories(const ProcFs& proc, pid_t pid, const std::string& program);

// The server that an installed module imports, or that its distribution requires. `script` is the console script that
// imports the module; empty if `python -m` runs it.
std::string server_of_installed(const std::vector<std::string>& directories, const std::string& module,
                                std::string_view script);

}  // namespace monitor
