// SPDX-License-Identifier: Apache-2.0
// The one thing that outputs are made from: everything known of one server at one moment, as plain data, and the pure
// functions that derive it from what the kernel counted and what /proc said.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/counters.h"
#include "model/host_sample.h"

namespace monitor {

struct WorkerSnapshot {
  pid_t pid = 0;
  std::uint64_t active = 0;
  std::uint64_t total = 0;
  double cpu_percent = 0;
  std::uint64_t memory_bytes = 0;
  unsigned threads = 0;
};

struct Snapshot {
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t total = 0;   // ended, the sum over endpoints
  std::uint64_t failed = 0;  // likewise
  std::uint64_t aborted = 0;
  std::uint64_t refused = 0;
  std::uint64_t rejected = 0;
  std::uint64_t websockets = 0;  // in flight now, the sum over endpoints
  std::uint64_t queue_depth = 0;
  std::uint64_t open_connections = 0;
  std::uint64_t peak_connections = 0;
  std::map<std::string, std::uint64_t> undercount;  // by cause

  bool system = true;      // else CPU, memory and threads, here and of the workers, are not to be shown
  double cpu_percent = 0;  // 100 is one core busy; over the time since the sample before
  double cpu_seconds = 0;  // since the server's start, what ended processes of it used too
  std::uint64_t memory_bytes = 0;
  unsigned threads = 0;
  double uptime_seconds = 0;    // since the server's start
  double observed_seconds = 0;  // since counting began
  std::string profile;

  pid_t pid = 0;
  std::string command;
  std::vector<std::string> listen;

  std::vector<EndpointCounters> endpoints;  // by method and path
  std::vector<WorkerSnapshot> workers;      // by pid
};

// Sums, rates and the list of workers. `before` is the earlier sample that CPU is measured against; without one it is
// measured over the whole life of the processes. A worker is a process that holds a listening socket and has no child
// that does (a supervisor holds it too), or that has read a request.
Snapshot make_snapshot(const Counters& counters, const SocketsSample& sockets, const HostSample& now,
                       const std::optional<HostSample>& before);

}  // namespace monitor
