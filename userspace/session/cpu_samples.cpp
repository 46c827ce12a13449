// SPDX-License-Identifier: Apache-2.0
// The CPU that processes had used at the look before, kept where the next command finds it: a single look of its own
// has nothing to measure against.
#include <bpf/bpf.h>

#include <cerrno>

#include "base/boot_clock.h"
#include "session/engine_state.h"

namespace monitor {

Result<std::optional<HostSample>> Engine::exchange_cpu(const HostSample& now, double min_age_seconds) {
  const int map = state_->objects.cpu_samples.fd();
  HostSample before;
  for (const ProcessSample& process : now.processes) {
    const auto pid = static_cast<std::uint32_t>(process.pid);
    monitor_cpu_sample sample{};
    if (bpf_map_lookup_elem(map, &pid, &sample) != 0 || sample.start_ns != to_nanoseconds(process.start_seconds)) {
      continue;
    }
    if (before.processes.empty()) {
      before.at_seconds = to_seconds(sample.at_ns);
    }
    // Of several looks one is meant: that of the first process, the root.
    if (to_nanoseconds(before.at_seconds) == sample.at_ns) {
      ProcessSample earlier = process;
      earlier.cpu_seconds = to_seconds(sample.cpu_ns);
      before.processes.push_back(earlier);
    }
  }
  if (!before.processes.empty() && now.at_seconds - before.at_seconds < min_age_seconds) {
    return std::optional<HostSample>(before);  // too young to be measured against, and not to be made younger
  }
  const std::uint64_t at = to_nanoseconds(now.at_seconds);
  for (const ProcessSample& process : now.processes) {
    const auto pid = static_cast<std::uint32_t>(process.pid);
    const monitor_cpu_sample sample{to_nanoseconds(process.start_seconds), to_nanoseconds(process.cpu_seconds), at};
    if (bpf_map_update_elem(map, &pid, &sample, BPF_ANY) != 0 && errno != E2BIG) {
      return system_error(errno, "write the map cpu_samples");
    }
  }
  return before.processes.empty() ? std::nullopt : std::optional<HostSample>(before);
}

}  // namespace monitor
