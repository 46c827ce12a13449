// SPDX-License-Identifier: Apache-2.0
// The calls of Engine that read what was counted, and change nothing.
#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "base/boot_clock.h"
#include "session/endpoints.h"
#include "session/engine_state.h"
#include "session/listeners.h"
#include "session/map_walk.h"
#include "session/processes.h"
#include "session/recursion_misses.h"
#include "session/sockets.h"
#include "session/target_settings.h"
#include "session/totals.h"
#include "session/undercount_causes.h"

namespace monitor {
namespace {

// The counters of the processes that live now. If a slot has another pid, it has passed to another process.
Result<std::map<pid_t, WorkerCounters>> read_workers(const Objects& objects, unsigned target) {
  const int slots = objects.map("workers").fd();
  std::map<pid_t, WorkerCounters> workers;
  TRY((for_each_entry<std::uint32_t, monitor_process>(objects.map("processes"), [&](std::uint32_t pid,
                                                                                    const monitor_process& process) {
    monitor_worker counted{};
    if (process.target == target && bpf_map_lookup_elem(slots, &process.worker, &counted) == 0 && counted.pid == pid) {
      auto& worker = workers[static_cast<pid_t>(pid)];
      worker.total = counted.ended;
      worker.active = counted.begun > counted.ended ? counted.begun - counted.ended : 0;
    }
  })));
  return workers;
}

}  // namespace

Result<std::vector<pid_t>> Engine::other_roots(unsigned target) const {
  std::vector<pid_t> roots;
  TRY((for_each_entry<std::uint32_t, monitor_target_settings>(
      state_->objects.map("target_settings"), [&](std::uint32_t index, const monitor_target_settings& settings) {
        if (index != target && settings.state != TARGET_FREE && settings.root != 0) {
          roots.push_back(static_cast<pid_t>(settings.root));
        }
      })));
  return roots;
}

Result<std::vector<pid_t>> Engine::processes(unsigned target) const {
  return followed_processes(state_->objects, target);
}

Result<std::vector<pid_t>> Engine::joined(unsigned target) const {
  return joined_processes(state_->objects, target);
}

Result<ListedSockets> Engine::sample_sockets(unsigned target, const std::vector<pid_t>& processes) const {
  TRY(check_counts(target));
  const Objects& objects = state_->objects;
  auto list = std::make_shared<SocketList>();
  list->records = TRY(read_addressed_records(objects, target));
  // After the records, for the reason that SocketList gives.
  std::vector<pid_t> holders = TRY(followed_processes(objects, target));
  holders.insert(holders.end(), processes.begin(), processes.end());
  std::sort(holders.begin(), holders.end());
  holders.erase(std::unique(holders.begin(), holders.end()), holders.end());
  for (const pid_t pid : holders) {
    TRY(list_sockets(objects, pid, list->sockets));
  }
  return ListedSockets{summarize(list->sockets, TRY(known_listeners(objects, target))), std::move(list)};
}

Result<std::vector<pid_t>> Engine::listeners_at(const std::string& address, const std::vector<pid_t>& processes) const {
  std::vector<pid_t> found;
  for (const pid_t pid : processes) {
    std::vector<ListedSocket> sockets;
    TRY(list_sockets(state_->objects, pid, sockets));
    const std::vector<std::string> listen = summarize(sockets, {}).listen;
    if (std::binary_search(listen.begin(), listen.end(), address)) {
      found.push_back(pid);
    }
  }
  return found;
}

Result<bool> Engine::holds_listener(pid_t pid) const {
  std::vector<ListedSocket> sockets;
  TRY(list_sockets(state_->objects, pid, sockets));
  return std::any_of(sockets.begin(), sockets.end(), is_listening);
}

Result<Counters> Engine::sample_counters(unsigned target) const {
  const Objects& objects = state_->objects;
  const std::uint64_t misses = TRY(recursion_misses(objects));
  Counters counters;
  // Reads the endpoints before the target. The target's requests in flight are then never fewer than those of its
  // endpoints, even if one begins in between. The total is the sum over the endpoints, as of this reading.
  counters.endpoints = TRY(read_endpoints(objects, target));
  counters.listeners = listener_counters(TRY(known_listeners(objects, target)));
  counters.workers = TRY(read_workers(objects, target));
  const monitor_target totals = TRY(read_totals(objects, target));
  const monitor_target_settings settings = TRY(read_settings(objects, target));
  // Comes last, so that everything read above is the target's.
  TRY(check_counts(target));
  counters.profile = name_of(objects.profile);
  const std::uint64_t since_ns = state_->targets.at(target).since_ns;
  counters.since_seconds = to_seconds(since_ns);
  counters.observed_seconds = to_seconds(nanoseconds_since_boot() - since_ns);
  // A request that ends between its count and its leaving makes this negative for an instant.
  counters.active = static_cast<std::int64_t>(totals.active) > 0 ? totals.active : 0;
  counters.peak = totals.peak;
  counters.peak_connections = totals.peak_connections;
  counters.undercount = undercount_by_cause(totals.undercount);
  counters.main_listener = settings.main;
  counters.undercount[cause_name(UNDERCOUNT_MISSED_EVENT)] += misses - settings.misses_before;
  return counters;
}

}  // namespace monitor
