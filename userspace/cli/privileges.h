// SPDX-License-Identifier: Apache-2.0
// What this process may do. Root is needed to attach; what comes after gets by with little of it.
#pragma once

#include <linux/capability.h>

#include <cstdint>

#include "base/result.h"

namespace monitor {

constexpr std::uint64_t capability_bit(int capability) {
  return std::uint64_t{1} << capability;
}

// What a run does besides watching.
struct Uses {
  bool writes_log = false;
  bool finds_servers = false;  // also those that come later
  bool reads_pins = false;     // of an engine that are not this user's to see
};

// What reading the counters and looking at the server takes. CAP_SYS_ADMIN stands in for what `permitted` lacks, as it
// does for the kernel.
constexpr std::uint64_t needed_capabilities(std::uint64_t permitted, const Uses& uses) {
  constexpr std::uint64_t kBpf = capability_bit(CAP_BPF) | capability_bit(CAP_PERFMON);
  return kBpf | capability_bit(CAP_SYS_PTRACE) | ((permitted & kBpf) != kBpf ? capability_bit(CAP_SYS_ADMIN) : 0) |
         // The log may have to be opened again in a directory that is not root's.
         (uses.writes_log ? capability_bit(CAP_DAC_OVERRIDE) : 0) |
         // /proc/PID/fd of another user's process is a directory of his, and /sys/fs/bpf one of root's.
         (uses.finds_servers || uses.reads_pins ? capability_bit(CAP_DAC_READ_SEARCH) : 0);
}

// Whether the descriptors of other users' processes can be seen.
bool can_look_into_processes();

// Gives up every capability that watching a server does not need, and the ways to get any back.
Status drop_privileges(const Uses& uses);

}  // namespace monitor
