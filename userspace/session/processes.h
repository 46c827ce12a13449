// SPDX-License-Identifier: Apache-2.0
// The processes that the engine follows: the entries of the map `processes`, their slots in `workers`, and their bits
// in `followed`. The fork and exit hooks change them at the same time; the process that deletes an entry gives its slot
// back.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// The processes of the target that live now, sorted.
Result<std::vector<pid_t>> followed_processes(const Objects& objects, unsigned target);

// Those of them that were not forked in the target.
Result<std::vector<pid_t>> joined_processes(const Objects& objects, unsigned target);

// Makes the process's entry, unless the fork hook already has.
Status follow_process(const Objects& objects, std::uint32_t target, std::uint32_t pid);

// Deletes the entry of a process, if it is one of the target's.
void forget_process(const Objects& objects, unsigned target, pid_t pid);

// Deletes the entries of all processes of the target. Returns whether there were any.
Result<bool> forget_processes(const Objects& objects, unsigned target);

}  // namespace monitor
