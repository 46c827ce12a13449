// SPDX-License-Identifier: Apache-2.0
#include "session/cpu_samples.h"

#include <bpf/bpf.h>
#include <monitor/abi.h>

#include <cerrno>
#include <vector>

#include "base/boot_clock.h"
#include "session/engine_state.h"
#include "session/map_walk.h"

namespace monitor {
namespace {

// If the map is full, makes room once, by deleting the samples of processes that no target follows. The exit hook
// deletes the samples of the others when they end.
Status write_sample(const Objects& objects, std::uint32_t pid, const monitor_cpu_sample& sample) {
  const int map = objects.map("cpu_samples").fd();
  if (bpf_map_update_elem(map, &pid, &sample, BPF_ANY) == 0) {
    return Ok{};
  }
  if (errno == E2BIG) {
    TRY(forget_cpu_samples(objects));
    if (bpf_map_update_elem(map, &pid, &sample, BPF_ANY) == 0 || errno == E2BIG) {
      return Ok{};
    }
  }
  return system_error(errno, "write the map cpu_samples");
}

// Returns the CPU that the processes of `now` had used at an earlier sample. Their samples may be of different times:
// omits those that are not of the first process's time, which is the root's. Children that have ended since then are in
// the reaped time of their parent.
HostSample read_samples(const Map& map, const HostSample& now) {
  HostSample before;
  for (const ProcessSample& process : now.processes) {
    const auto pid = static_cast<std::uint32_t>(process.pid);
    monitor_cpu_sample sample{};
    if (bpf_map_lookup_elem(map.fd(), &pid, &sample) != 0 || sample.start_ns != to_nanoseconds(process.start_seconds)) {
      continue;
    }
    if (before.processes.empty()) {
      before.at_seconds = to_seconds(sample.at_ns);
    }
    if (to_nanoseconds(before.at_seconds) == sample.at_ns) {
      ProcessSample earlier = process;
      earlier.cpu_seconds = to_seconds(sample.cpu_ns);
      earlier.reaped_cpu_seconds = to_seconds(sample.reaped_ns + sample.ended_ns);
      before.processes.push_back(earlier);
    }
  }
  return before;
}

}  // namespace

Status forget_cpu_samples(const Objects& objects) {
  const int processes = objects.map("processes").fd();
  std::vector<std::uint32_t> gone;
  Status status = for_each_entry<std::uint32_t, monitor_cpu_sample>(
      objects.map("cpu_samples"), [&](std::uint32_t pid, const monitor_cpu_sample&) {
        monitor_process process{};
        if (bpf_map_lookup_elem(processes, &pid, &process) != 0) {
          gone.push_back(pid);
        }
      });
  for (const std::uint32_t pid : gone) {
    bpf_map_delete_elem(objects.map("cpu_samples").fd(), &pid);
  }
  return status;
}

Result<std::optional<HostSample>> Engine::exchange_cpu(const HostSample& now, double min_age_seconds) {
  const Objects& objects = state_->objects;
  const HostSample before = read_samples(objects.map("cpu_samples"), now);
  if (!before.processes.empty() && now.at_seconds - before.at_seconds < min_age_seconds) {
    return std::optional<HostSample>(before);  // and keeps it stored until it is old enough
  }
  const std::uint64_t at = to_nanoseconds(now.at_seconds);
  for (const ProcessSample& process : now.processes) {
    const auto pid = static_cast<std::uint32_t>(process.pid);
    TRY(write_sample(objects, pid,
                     {.start_ns = to_nanoseconds(process.start_seconds),
                      .cpu_ns = to_nanoseconds(process.cpu_seconds),
                      .reaped_ns = to_nanoseconds(process.reaped_cpu_seconds),
                      .ended_ns = 0,
                      .at_ns = at}));
  }
  return before.processes.empty() ? std::nullopt : std::optional<HostSample>(before);
}

}  // namespace monitor
