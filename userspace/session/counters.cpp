// SPDX-License-Identifier: Apache-2.0
// Reading what was counted out of the maps.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "session/engine_state.h"
#include "session/map_walk.h"

namespace monitor {
namespace {

// enum monitor_undercount in the words of the output.
constexpr std::array<const char*, UNDERCOUNT_CAUSES> kCauses = {
    "gap", "registers", "memory", "protocol", "tls", "http2", "connections", "pipeline", "missed_event", "processes",
};

}  // namespace

Result<std::uint64_t> recursion_misses(engine_bpf& bpf) {
  std::uint64_t misses = 0;
  for (const bpf_program* program :
       {bpf.progs.on_received, bpf.progs.on_sent, bpf.progs.on_syscall, bpf.progs.on_unix_received,
        bpf.progs.on_unix_sent, bpf.progs.on_state, bpf.progs.on_close, bpf.progs.on_fork, bpf.progs.on_exit}) {
    if (bpf_program__fd(program) < 0) {
      continue;  // the profile does without it
    }
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) != 0) {
      return system_error(errno, std::string("ask for lost events of ") + bpf_program__name(program));
    }
    misses += info.recursion_misses;
  }
  return misses;
}

Result<Counters> Engine::read(unsigned target) {
  auto& bpf = state_->bpf();
  auto& remembered = state_->targets.at(target);
  Result<std::uint64_t> misses = recursion_misses(bpf);
  if (!misses) {
    return std::move(misses).error();
  }
  if (Status status = reconcile(bpf, target, remembered, *misses); !status) {
    return std::move(status).error();
  }
  Counters counters;
  counters.profile = state_->profile;
  counters.observed_seconds =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - remembered.since).count();

  // The endpoints before the target: what is in flight is then never less than what they say of a request that began
  // in between, and the total, which is their sum, is what it was when they were read.
  Result<std::vector<EndpointCounters>> endpoints = read_endpoints(bpf, target);
  if (!endpoints) {
    return std::move(endpoints).error();
  }
  counters.endpoints = *std::move(endpoints);
  const int worker_table = bpf_map__fd(bpf.maps.workers);
  Status status = for_each_entry<std::uint32_t, monitor_process>(
      bpf.maps.processes, [&](std::uint32_t pid, const monitor_process& process) {
        monitor_worker counted{};
        if (process.target == target && bpf_map_lookup_elem(worker_table, &process.worker, &counted) == 0 &&
            counted.pid == pid) {
          auto& worker = counters.workers[static_cast<pid_t>(pid)];
          worker.total = counted.ended;
          worker.active = counted.begun > counted.ended ? counted.begun - counted.ended : 0;
        }
      });
  if (!status) {
    return std::move(status).error();
  }
  monitor_target totals{};
  if (bpf_map_lookup_elem(bpf_map__fd(bpf.maps.targets), &target, &totals) != 0) {
    return system_error(errno, "read the map targets");
  }
  // A request that ends between its count and its leaving makes these negative for an instant.
  counters.active = static_cast<std::int64_t>(totals.active) > 0 ? totals.active : 0;
  counters.peak = totals.peak;
  counters.refused = totals.refused;
  counters.rejected = totals.rejected;
  counters.peak_connections = std::max(totals.peak_connections, remembered.peak_connections);
  totals.undercount[UNDERCOUNT_MISSED_EVENT] += *misses - remembered.misses_before;
  for (std::size_t cause = 0; cause < kCauses.size(); ++cause) {
    if (totals.undercount[cause] != 0) {
      counters.undercount[kCauses[cause]] = totals.undercount[cause];
    }
  }
  return counters;
}

Result<std::vector<pid_t>> Engine::processes(unsigned target) {
  std::vector<pid_t> pids;
  const Status status = for_each_entry<std::uint32_t, monitor_process>(
      state_->bpf().maps.processes, [&](std::uint32_t pid, const monitor_process& process) {
        if (process.target == target) {
          pids.push_back(static_cast<pid_t>(pid));
        }
      });
  if (!status) {
    return status.error();
  }
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace monitor
