// SPDX-License-Identifier: Apache-2.0
// Samples a server's processes and checks that they still belong to the same server. The pid alone does not prove it,
// because the kernel reuses pids.
#include <algorithm>
#include <cmath>
#include <optional>
#include <utility>

#include "base/boot_clock.h"
#include "host/command_line.h"
#include "host/procfs.h"

namespace monitor {

namespace {

// The root first. Omits processes that have ended; empty if the root has.
std::vector<ProcessSample> member_samples(const ProcFs& proc, pid_t root, const std::vector<pid_t>& members) {
  std::vector<ProcessSample> samples;
  Result<ProcessSample> first = proc.process(root);
  if (!first) {
    return samples;
  }
  samples.push_back(*first);
  for (const pid_t pid : members) {
    if (pid == root) {
      continue;
    }
    if (Result<ProcessSample> sample = proc.process(pid); sample) {
      samples.push_back(*sample);
    }
  }
  return samples;
}

void add_zombies(const ProcFs& proc, const HostSample& earlier, HostSample& sample) {
  std::vector<pid_t> candidates = earlier.zombies;
  for (const ProcessSample& process : earlier.processes) {
    candidates.push_back(process.pid);
  }
  const auto find = [&](pid_t pid) {
    return std::find_if(sample.processes.begin(), sample.processes.end(),
                        [pid](const ProcessSample& process) { return process.pid == pid; });
  };
  for (const pid_t pid : candidates) {
    if (find(pid) != sample.processes.end()) {
      continue;
    }
    const std::optional<ProcessSample> zombie = proc.zombie(pid);
    const auto parent = zombie ? find(zombie->parent) : sample.processes.end();
    if (parent != sample.processes.end()) {
      parent->reaped_cpu_seconds += zombie->cpu_seconds + zombie->reaped_cpu_seconds;
      sample.zombies.push_back(pid);
    }
  }
}

}  // namespace

Result<HostSample> sample_host(const ProcFs& proc, pid_t root, std::optional<double> root_start_seconds,
                               const std::vector<pid_t>& members, const HostSample& earlier) {
  // The kernel reports starts in whole clock ticks (10 ms), so a smaller difference means the same start.
  constexpr double kSameStart = 0.005;
  HostSample sample;
  if (members.empty()) {
    sample.processes = proc.tree_samples(root);  // with the zombies
  } else {
    sample.processes = member_samples(proc, root, members);
    add_zombies(proc, earlier, sample);
  }
  sample.at_seconds = seconds_since_boot();
  if (sample.processes.empty()) {
    TRY(proc.process(root));  // fails with the precise reason
    return Error{ErrorCode::kNoTarget, "no process " + std::to_string(root) + ": it has just ended"};
  }
  const double start = sample.processes.front().start_seconds;
  if (root_start_seconds && std::fabs(start - *root_start_seconds) > kSameStart) {
    return Error{ErrorCode::kNoTarget, "process " + std::to_string(root) + " has ended: pid " + std::to_string(root) +
                                           " now belongs to another process"};
  }
  sample.command = proc.command(root);
  CommandLine line = read_command_line(proc, root);
  if (line.program.empty()) {
    line.program = line.shown = sample.command;
  }
  sample.title = line.title();
  sample.program = std::move(line.program);
  sample.application = std::move(line.application);
  return sample;
}

}  // namespace monitor
