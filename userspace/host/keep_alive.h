// SPDX-License-Identifier: Apache-2.0
// For how long a server leaves an idle connection open. Private to host/.
#pragma once

#include <sys/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "host/procfs.h"

namespace monitor {

// Seconds; 0: unknown, or it never closes one. `server` is what a command line starts, or what a program imports, and
// `sources` are the texts of that program. The command line, the environment, the server's file of settings and the
// sources can set another time than the server's default; one that they do not set by a number is unknown. What they
// compute, read from elsewhere or pass on without its name cannot be known: then this is the default.
double idle_timeout(const ProcFs& proc, pid_t pid, std::string_view server, std::string_view sources = {});

// The part of it that needs no files.
double idle_timeout(std::string_view server, const std::vector<std::string>& arguments, std::string_view sources = {});

// The value of option `name` if argument `i` is that option: --port=80, --port 80, -p80. Null data: it is another.
std::string_view option_value(const std::vector<std::string>& arguments, std::size_t i, std::string_view name);

}  // namespace monitor
