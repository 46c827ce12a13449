// SPDX-License-Identifier: Apache-2.0
// Reads the files of a program as its process sees them: through /proc/PID/cwd and /proc/PID/root. Others write these
// files, so only regular files are read, up to a limit. Private to host/.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "host/procfs.h"

namespace monitor {

// The start of a regular file, 256 kB at most; nullopt if it cannot be read. Opening a device can have side effects, so
// the name is resolved without opening what it names first.
std::optional<std::string> read_regular(const std::string& path);

// A path as the process resolves it.
std::string seen_by(const ProcFs& proc, pid_t pid, const std::string& path);

// The names in a directory, without those that begin with a dot; 4000 at most.
std::vector<std::string> entries(const std::string& path);

// A variable of the environment that the process was started with; empty if it is unknown.
std::string started_with(const ProcFs& proc, pid_t pid, std::string_view variable);

}  // namespace monitor
