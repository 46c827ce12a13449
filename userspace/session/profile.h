// SPDX-License-Identifier: Apache-2.0
// The two sets of hooks that an engine can count with: docs/counting.md compares them.
#pragma once

namespace monitor {

enum class Profile {
  kSocket,   // the socket tracepoints of Linux 6.3 and later
  kSyscall,  // the exit of every system call; records of connections by address
};

constexpr const char* name_of(Profile profile) {
  return profile == Profile::kSocket ? "socket" : "syscall";
}

}  // namespace monitor
