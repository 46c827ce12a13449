// SPDX-License-Identifier: Apache-2.0
// The CPU that processes had used at the look before, kept where the next command finds it: a single look of its own
// has nothing to measure against.
#include <bpf/bpf.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "base/boot_clock.h"
#include "session/engine_state.h"
#include "session/map_walk.h"

namespace monitor {
namespace {

// Of a table that is full the processes that have ended have most: no hook takes theirs out.
Status write_sample(const Objects& objects, std::uint32_t pid, const monitor_cpu_sample& sample) {
  const int map = objects.cpu_samples.fd();
  if (bpf_map_update_elem(map, &pid, &sample, BPF_ANY) == 0) {
    return Ok{};
  }
  if (errno == E2BIG) {
    if (Status status = forget_cpu_samples(objects); !status) {
      return status;
    }
    if (bpf_map_update_elem(map, &pid, &sample, BPF_ANY) == 0 || errno == E2BIG) {
      return Ok{};
    }
  }
  return system_error(errno, "write the map cpu_samples");
}

}  // namespace

Status forget_cpu_samples(const Objects& objects) {
  std::vector<std::uint32_t> gone;
  Status status = for_each_entry<std::uint32_t, monitor_cpu_sample>(
      objects.cpu_samples, [&](std::uint32_t pid, const monitor_cpu_sample&) {
        monitor_process process{};
        if (bpf_map_lookup_elem(objects.processes.fd(), &pid, &process) != 0) {
          gone.push_back(pid);
        }
      });
  for (const std::uint32_t pid : gone) {
    bpf_map_delete_elem(objects.cpu_samples.fd(), &pid);
  }
  return status;
}

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
    if (Status status = write_sample(state_->objects, pid, sample); !status) {
      return std::move(status).error();
    }
  }
  return before.processes.empty() ? std::nullopt : std::optional<HostSample>(before);
}

}  // namespace monitor
