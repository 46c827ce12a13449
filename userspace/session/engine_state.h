// SPDX-License-Identifier: Apache-2.0
// What an Engine holds: the kernel's objects, and what this process remembers between looks. Private to session/.
#pragma once

#include <monitor/abi.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "session/engine.h"
#include "session/load.h"
#include "session/objects.h"
#include "session/pins.h"

namespace monitor {

// Address and inode: what tells a socket from all others, past and present.
using SocketIdentity = std::pair<std::uint64_t, std::uint64_t>;

// What is remembered of one target.
struct TargetState {
  std::uint64_t since_ns = 0;  // 0: not looked at
  unsigned looks = 0;          // at the live records
  // By endpoint slot: more in flight than live records account for, as the look before found.
  std::map<std::uint32_t, std::uint64_t> suspected;
  std::set<SocketIdentity> unseen;  // of the look before: sockets that were read from and have no record
};

struct Engine::State {
  Objects objects;
  std::vector<Link> links;  // of an engine that is not pinned: the pins hold those of one that is
  std::optional<Pins> pins;
  std::uint64_t identity = 0;  // of what is pinned there: another engine may be by now
  Fd lock_file;                // to be locked for what only one may do at a time
  bool alone = true;           // nobody else is there, or the caller holds the exclusive lock
  std::vector<TargetState> targets;
};

// A try to be the only one for a moment, for what only one may do at a time. Gives up after a few milliseconds: what it
// is needed for is done by the next look as well.
class Turn {
 public:
  Turn(const Fd& lock_file, bool alone);
  ~Turn();
  Turn(const Turn&) = delete;
  Turn& operator=(const Turn&) = delete;
  explicit operator bool() const { return alone_ || locked_; }

 private:
  int fd_;
  bool alone_;
  bool locked_ = false;
};

// Settings of a target. Written by one process at a time: under the lock, or by the only one that there is.
Result<monitor_target_settings> read_settings(const Objects& objects, unsigned target);
Status write_settings(const Objects& objects, unsigned target, const monitor_target_settings& settings);

// How often the kernel dropped an event because its program was interrupted by another run of itself on that CPU, over
// all hooks of the engine. But for the changes of state, which have two programs: one of them is always free.
Result<std::uint64_t> recursion_misses(const Objects& objects);

// What the records of the target's connections say: those in their sockets' own storage are open ones, those by address
// all that there are.
Result<std::vector<monitor_live>> read_records(const Objects& objects, unsigned target);
Result<std::vector<monitor_live>> read_addressed_records(const Objects& objects, unsigned target);

// Closes what the target counts as open and no socket in `open` stands for any more, of the records by address that
// were read before the sockets were listed; the kernel side deletes those for which that is so for a while.
Status sweep(const Objects& objects, const std::vector<monitor_live>& records, const std::set<SocketIdentity>& open);

// Deletes all records of a target, none of whose processes is followed any more.
Status disown_records(const Objects& objects, unsigned target);

// Deletes the samples of CPU of processes that no target has any more.
Status forget_cpu_samples(const Objects& objects);

// Makes the endpoints of a target that stand for many, and tells their slots to `settings`.
Status make_special_endpoints(const Objects& objects, unsigned target, monitor_target_settings& settings);

// Gives back the slots of all endpoints of a target.
Status free_endpoints(const Objects& objects, unsigned target);

// The target's endpoints. One that is evicted while they are walked would be counted twice, or not at all: they are
// then walked again; under a flood of 404s the last of a few walks has to do. When the table is nearly full, endpoints
// that never got an answer are handed over to "(not found)".
Result<std::vector<EndpointCounters>> read_endpoints(const Objects& objects, unsigned target);

// Compares what is counted as in flight with the live records, and takes out what two looks in a row found no record
// for (a lost event). Does nothing unless events were lost since the counters were last found right, or it has not been
// done for long.
Status reconcile(const Objects& objects, unsigned target, TargetState& state, std::uint64_t misses);

}  // namespace monitor
