// SPDX-License-Identifier: Apache-2.0
// What an Engine holds: the skeleton, and what user space remembers between looks. Private to session/.
#pragma once

#include <bpf/libbpf.h>
#include <monitor/abi.h>

#include <array>
#include <chrono>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "engine.skel.h"
#include "session/engine.h"

namespace monitor {

struct DestroySkeleton {
  void operator()(engine_bpf* skeleton) const { engine_bpf__destroy(skeleton); }
};
struct DestroyLink {
  void operator()(bpf_link* link) const { bpf_link__destroy(link); }
};
using Links = std::vector<std::unique_ptr<bpf_link, DestroyLink>>;
using Skeleton = std::unique_ptr<engine_bpf, DestroySkeleton>;

// Address and inode: what tells a socket from all others, past and present.
using SocketIdentity = std::pair<std::uint64_t, std::uint64_t>;

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
  std::set<SocketIdentity> unseen;  // of the look before: sockets that were read from and have no record
  std::set<SocketIdentity> swept;   // of the look before: records whose socket has gone
};

struct Engine::State {
  Skeleton skeleton;
  std::string profile;
  // The hooks on Unix sockets, attached from when a target is found to listen on one.
  Links unix_hooks;
  std::array<TargetState, MONITOR_MAX_TARGETS> targets;

  engine_bpf& bpf() const { return *skeleton; }
};

// Before the load: which programs are needed, and which of them are attached with it. `by_address`: for the profile
// "syscall"; `unix_sockets`: as of EngineOptions.
void select_programs(engine_bpf& bpf, bool by_address, bool unix_sockets);

// Attaches the hooks on Unix sockets, if they are not.
Status attach_unix_hooks(engine_bpf& bpf, Links& links);

// How often the kernel dropped an event because its program was interrupted by another run of itself on that CPU,
// over all hooks of the engine.
Result<std::uint64_t> recursion_misses(engine_bpf& bpf);

// What the records of the target's connections say: those in their sockets' own storage are open ones, those by address
// all that there are.
Result<std::vector<monitor_live>> read_records(engine_bpf& bpf, unsigned target);
Result<std::vector<monitor_live>> read_addressed_records(engine_bpf& bpf, unsigned target);

// Closes what the target counts as open and no socket in `open` stands for any more, of the records by address that
// were read before the sockets were listed; deletes those found so a second time.
Status sweep(engine_bpf& bpf, TargetState& state, const std::vector<monitor_live>& records,
             const std::set<SocketIdentity>& open);

// The target's endpoints. One that is evicted while they are walked would be counted twice, or not at all: they are
// then walked again; under a flood of 404s the last of a few walks has to do. When the table is nearly full, endpoints
// that never got an answer are handed over to "(not found)".
Result<std::vector<EndpointCounters>> read_endpoints(engine_bpf& bpf, unsigned target);

// Compares what is counted as in flight with the live records, and takes out what two looks in a row found no record
// for (a lost event). Does nothing unless events were lost since the counters were last found right.
Status reconcile(engine_bpf& bpf, unsigned target, TargetState& state, std::uint64_t misses);

}  // namespace monitor
