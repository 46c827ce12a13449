// SPDX-License-Identifier: Apache-2.0
// The capabilities of this process. Attaching needs more of them than observing does.
#pragma once

#include <linux/capability.h>

#include <cstdint>

#include "base/result.h"

namespace monitor {

constexpr std::uint64_t capability_bit(int capability) {
  return std::uint64_t{1} << capability;
}

// What a run does besides observing servers.
struct Uses {
  bool writes_log = false;
  bool finds_servers = false;  // searches for servers after the start, too
  bool reads_pins = false;     // of an attached engine, in a directory that this user cannot read
};

// The capabilities needed to read the counters and to inspect the server. Includes CAP_SYS_ADMIN if `permitted` lacks
// CAP_BPF or CAP_PERFMON: the kernel accepts it in place of these.
constexpr std::uint64_t needed_capabilities(std::uint64_t permitted, const Uses& uses) {
  constexpr std::uint64_t kBpf = capability_bit(CAP_BPF) | capability_bit(CAP_PERFMON);
  return kBpf | capability_bit(CAP_SYS_PTRACE) | ((permitted & kBpf) != kBpf ? capability_bit(CAP_SYS_ADMIN) : 0) |
         // To reopen the log in a directory that root does not own.
         (uses.writes_log ? capability_bit(CAP_DAC_OVERRIDE) : 0) |
         // /proc/PID/fd of another user's process belongs to that user, and /sys/fs/bpf to root.
         (uses.finds_servers || uses.reads_pins ? capability_bit(CAP_DAC_READ_SEARCH) : 0) |
         // It reads directories too, and is all that a process may have.
         (uses.reads_pins && (permitted & capability_bit(CAP_DAC_READ_SEARCH)) == 0 ? capability_bit(CAP_DAC_OVERRIDE)
                                                                                    : 0);
}

// Whether this process may read the descriptors of other users' processes.
bool can_inspect_processes();

// Gives up every capability that the run does not need, and every way to regain one.
Status drop_privileges(const Uses& uses);

}  // namespace monitor
