// SPDX-License-Identifier: Apache-2.0
#include "base/privileges.h"

#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <cerrno>

namespace monitor {
namespace {

// capget(2) splits the 64 bits into two halves.
using CapabilityHalves = std::array<__user_cap_data_struct, _LINUX_CAPABILITY_U32S_3>;

std::uint64_t join(std::uint32_t low, std::uint32_t high) {
  return std::uint64_t{high} << 32 | low;
}

Result<CapabilityHalves> read_capabilities() {
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  CapabilityHalves halves{};
  if (::syscall(SYS_capget, &header, halves.data()) != 0) {
    return system_error(errno, "read this process's capabilities");
  }
  return halves;
}

}  // namespace

bool can_inspect_processes() {
  Result<CapabilityHalves> halves = read_capabilities();
  return halves && (join((*halves)[0].effective, (*halves)[1].effective) & capability_bit(CAP_SYS_PTRACE)) != 0;
}

Status drop_privileges(const Uses& uses) {
  CapabilityHalves halves = TRY(read_capabilities());
  const std::uint64_t permitted = join(halves[0].permitted, halves[1].permitted);
  const std::uint64_t kept = permitted & needed_capabilities(permitted, uses);

  // The bounding set comes first, because this takes CAP_SETPCAP. Without that capability the set stays as it is, but
  // no_new_privs keeps exec from granting any of it.
  ::prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
  for (int capability = 0; ::prctl(PR_CAPBSET_READ, capability, 0, 0, 0) >= 0; ++capability) {
    ::prctl(PR_CAPBSET_DROP, capability, 0, 0, 0);
  }
  if (::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) {
    return system_error(errno, "set no_new_privs");
  }
  for (std::size_t half = 0; half < halves.size(); ++half) {
    const auto bits = static_cast<std::uint32_t>(kept >> (32 * half));
    halves[half] = {bits, bits, 0};  // effective, permitted, inheritable
  }
  __user_cap_header_struct header{_LINUX_CAPABILITY_VERSION_3, 0};
  if (::syscall(SYS_capset, &header, halves.data()) != 0) {
    return system_error(errno, "drop capabilities");
  }
  // Forbids core dumps, and debuggers of the same user, which could use the maps' descriptors.
  if (::prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0) {
    return system_error(errno, "forbid core dumps");
  }
  return Ok{};
}

}  // namespace monitor
