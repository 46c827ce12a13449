// SPDX-License-Identifier: Apache-2.0
// Reading what was counted out of the maps.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/boot_clock.h"
#include "session/engine_state.h"
#include "session/map_walk.h"

namespace monitor {
namespace {

// enum monitor_undercount in the words of the output; UNDERCOUNT_NONE has no word.
constexpr std::array<const char*, UNDERCOUNT_CAUSES> kCauses = {
    nullptr, "gap",         "registers", "memory",       "protocol",  "tls",
    "http2", "connections", "pipeline",  "missed_event", "processes",
};

// Of the processes that live now: a slot's pid tells whose counters it holds.
Result<std::map<pid_t, WorkerCounters>> read_workers(const Objects& objects, unsigned target) {
  std::map<pid_t, WorkerCounters> workers;
  const Status status = for_each_entry<std::uint32_t, monitor_process>(
      objects.processes, [&](std::uint32_t pid, const monitor_process& process) {
        monitor_worker counted{};
        if (process.target == target && bpf_map_lookup_elem(objects.workers.fd(), &process.worker, &counted) == 0 &&
            counted.pid == pid) {
          auto& worker = workers[static_cast<pid_t>(pid)];
          worker.total = counted.ended;
          worker.active = counted.begun > counted.ended ? counted.begun - counted.ended : 0;
        }
      });
  if (!status) {
    return status.error();
  }
  return workers;
}

}  // namespace

Result<std::uint64_t> recursion_misses(const Objects& o) {
  std::uint64_t misses = 0;
  for (const Program* program : {&o.on_received, &o.on_sent, &o.on_syscall, &o.on_unix_received, &o.on_unix_sent,
                                 &o.on_close, &o.on_fork, &o.on_exit}) {
    if (!*program) {
      continue;  // the profile does without it
    }
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(program->fd(), &info, &size) != 0) {
      return system_error(errno, "ask for lost events of " + program->name());
    }
    misses += info.recursion_misses;
  }
  return misses;
}

Result<Counters> Engine::read(unsigned target) {
  const Objects& objects = state_->objects;
  auto& remembered = state_->targets.at(target);
  Result<std::uint64_t> misses = recursion_misses(objects);
  if (!misses) {
    return std::move(misses).error();
  }
  // A surplus that two of us took out would be missing.
  if (const Turn turn(state_->lock_file, state_->alone); turn) {
    Status status = check_counts(target);
    if (status) {
      status = reconcile(objects, target, remembered, *misses);
    }
    if (!status) {
      return std::move(status).error();
    }
  }
  Counters counters;
  // The endpoints before the target: what is in flight is then never less than what they say of a request that began
  // in between, and the total, which is their sum, is what it was when they were read.
  Result<std::vector<EndpointCounters>> endpoints = read_endpoints(objects, target);
  if (!endpoints) {
    return std::move(endpoints).error();
  }
  counters.endpoints = *std::move(endpoints);
  Result<std::map<pid_t, WorkerCounters>> workers = read_workers(objects, target);
  if (!workers) {
    return std::move(workers).error();
  }
  counters.workers = *std::move(workers);
  const std::uint32_t key = target;
  monitor_target totals{};
  if (bpf_map_lookup_elem(objects.targets.fd(), &key, &totals) != 0) {
    return system_error(errno, "read the map targets");
  }
  Result<monitor_target_settings> settings = read_settings(objects, target);
  if (!settings) {
    return std::move(settings).error();
  }
  // Behind all of it: what was read is still the target's.
  if (Status status = check_counts(target); !status) {
    return std::move(status).error();
  }
  counters.profile = objects.on_syscall ? "syscall" : "socket";
  counters.observed_seconds = to_seconds(nanoseconds_since_boot() - remembered.since_ns);
  // A request that ends between its count and its leaving makes these negative for an instant.
  counters.active = static_cast<std::int64_t>(totals.active) > 0 ? totals.active : 0;
  counters.peak = totals.peak;
  counters.refused = totals.refused;
  counters.rejected = totals.rejected;
  counters.peak_connections = totals.peak_connections;
  totals.undercount[UNDERCOUNT_MISSED_EVENT] += *misses - settings->misses_before;
  for (std::size_t cause = UNDERCOUNT_NONE + 1; cause < kCauses.size(); ++cause) {
    counters.undercount[kCauses[cause]] = totals.undercount[cause];
  }
  return counters;
}

Result<std::vector<pid_t>> Engine::processes(unsigned target) const {
  std::vector<pid_t> pids;
  const Status status = for_each_entry<std::uint32_t, monitor_process>(
      state_->objects.processes, [&](std::uint32_t pid, const monitor_process& process) {
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
