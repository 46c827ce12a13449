// SPDX-License-Identifier: Apache-2.0
// What an Engine holds: the skeleton, and what user space remembers between looks. Private to session/.
#pragma once

#include <monitor/abi.h>

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <set>

#include "engine.skel.h"
#include "session/engine.h"

namespace monitor {

struct DestroySkeleton {
  void operator()(engine_bpf* skeleton) const { engine_bpf__destroy(skeleton); }
};
using Skeleton = std::unique_ptr<engine_bpf, DestroySkeleton>;

// What is remembered of one target.
struct TargetState {
  bool in_use = false;
  std::chrono::steady_clock::time_point since;
  std::uint64_t misses_before = 0;      // recursion misses of the programs when the target was added
  std::uint64_t misses_reconciled = 0;  // the counters were found right at this many
  std::uint64_t peak_connections = 0;   // most that a look has seen
  unsigned looks = 0;                   // since the live records were last compared without a miss
  // By endpoint slot: more in flight than live records account for, as the look before found.
  std::map<std::uint32_t, std::uint64_t> suspected;
};

struct Engine::State {
  Skeleton skeleton;
  std::string profile = "socket";
  std::array<TargetState, MONITOR_MAX_TARGETS> targets;

  engine_bpf& bpf() const { return *skeleton; }
};

// How often the kernel dropped an event because its program was interrupted by another run of itself on that CPU,
// over all programs of the engine.
Result<std::uint64_t> recursion_misses(engine_bpf& bpf);

// The target's endpoints. One that is evicted while they are walked would be counted twice, or not at all: they are
// then walked again; under a flood of 404s the last of a few walks has to do. When the table is nearly full, endpoints
// that never got an answer are handed over to "(not found)".
Result<std::vector<EndpointCounters>> read_endpoints(engine_bpf& bpf, unsigned target);

// Compares what is counted as in flight with the live records, and takes out what two looks in a row found no record
// for (a lost event). Does nothing unless events were lost since the counters were last found right.
Status reconcile(engine_bpf& bpf, unsigned target, TargetState& state, std::uint64_t misses);

}  // namespace monitor
