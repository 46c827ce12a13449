// SPDX-License-Identifier: Apache-2.0
// What /proc shows for one server's processes at one moment, as plain data: host/ fills it, snapshot.h consumes it.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

namespace monitor {

struct ProcessSample {
  pid_t pid = 0;
  pid_t parent = 0;
  double start_seconds = 0;        // since boot; unlike the pid alone, the pair is never reused
  double cpu_seconds = 0;          // user + system so far
  double reaped_cpu_seconds = 0;   // the same for its descendants that have ended, and its children in `zombies`
  std::uint64_t memory_bytes = 0;  // resident
  unsigned threads = 0;
};

struct HostSample {
  double at_seconds = 0;                 // CLOCK_BOOTTIME: the same base as start_seconds
  std::string command;                   // the arguments of the root process, joined by spaces
  std::string program;                   // what runs, without the interpreter and directories: "uvicorn", "main.py"
  std::string application;               // "app:app"; empty if unknown
  std::string title;                     // the program with its application or its arguments, for people
  std::vector<ProcessSample> processes;  // the root first, then its descendants by pid
  std::vector<pid_t> zombies;            // of earlier samples: ended, and not reaped by their parent yet
};

}  // namespace monitor
