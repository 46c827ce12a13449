// SPDX-License-Identifier: Apache-2.0
// What /proc says of one server's processes at one moment, as plain data: filled by host/, consumed by snapshot.h.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace monitor {

struct ProcessSample {
  pid_t pid = 0;
  pid_t parent = 0;
  double start_seconds = 0;        // since boot; with the pid it identifies a process for good
  double cpu_seconds = 0;          // user + system so far
  double reaped_cpu_seconds = 0;   // the same of its children that have ended, and of theirs
  std::uint64_t memory_bytes = 0;  // resident
  unsigned threads = 0;
};

struct HostSample {
  double at_seconds = 0;                 // monotonic clock, since boot (CLOCK_BOOTTIME): the same base as start_seconds
  std::string command;                   // of the root process, its arguments joined by spaces
  std::vector<ProcessSample> processes;  // the root first, then its descendants by pid
};

}  // namespace monitor
