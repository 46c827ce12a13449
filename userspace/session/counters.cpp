// SPDX-License-Identifier: Apache-2.0
// Reading what was counted out of the maps.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "session/engine_state.h"

namespace monitor {
namespace {

// enum monitor_undercount in the words of the output.
constexpr std::array<const char*, UNDERCOUNT_CAUSES> kCauses = {
    "gap", "registers", "memory", "protocol", "tls", "http2", "connections", "pipeline", "missed_event", "processes",
};

// Hands every entry of a hash map to `take(key, value)`. In batches: walking key by key starts anew when the key at
// hand is deleted meanwhile. An entry made or deleted while this runs may or may not be seen.
template <typename Key, typename Value, typename Take>
Status for_each_entry(const bpf_map* map, Take take) {
  constexpr std::uint32_t kBatch = 256;
  std::vector<Key> keys(kBatch);
  std::vector<Value> values(kBatch);
  std::uint64_t cursor = 0;
  bool first = true;
  for (;;) {
    auto count = static_cast<std::uint32_t>(keys.size());
    std::uint64_t next = 0;
    const int failed = bpf_map_lookup_batch(bpf_map__fd(map), first ? nullptr : &cursor, &next, keys.data(),
                                            values.data(), &count, nullptr);
    const int saved_errno = errno;
    if (failed != 0 && saved_errno == ENOSPC) {
      // one bucket holds more than fits
      keys.resize(keys.size() * 2);
      values.resize(keys.size());
      continue;
    }
    if (failed != 0 && saved_errno != ENOENT) {
      return system_error(saved_errno, std::string("read the map ") + bpf_map__name(map));
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      take(keys[i], values[i]);
    }
    if (failed != 0) {
      return Ok{};  // ENOENT: that was the last batch
    }
    cursor = next;
    first = false;
  }
}

bool counted_nothing(const monitor_endpoint& e) {
  return e.completed == 0 && (e.word & UINT32_MAX) == 0;
}

EndpointCounters endpoint_counters(const monitor_endpoint_key& key, const monitor_endpoint& e) {
  EndpointCounters counters;
  counters.method.assign(key.method, key.method_length);
  counters.path.assign(key.path, key.path_length);
  counters.path_cut = (key.flags & ENDPOINT_PATH_CUT) != 0;
  counters.active = e.word & UINT32_MAX;
  counters.peak = e.peak;
  counters.completed = e.completed;
  counters.failed = e.failed;
  counters.aborted = e.aborted;
  static_assert(sizeof(e.status) == sizeof(std::uint64_t) * std::tuple_size_v<decltype(counters.status)>);
  std::memcpy(counters.status.data(), e.status, sizeof(e.status));
  return counters;
}

Result<monitor_endpoint> read_slot(engine_bpf& bpf, std::uint32_t id) {
  monitor_endpoint endpoint{};
  if (bpf_map_lookup_elem(bpf_map__fd(bpf.maps.endpoint_table), &id, &endpoint) != 0) {
    return system_error(errno, "read the map endpoint_table");
  }
  return endpoint;
}

// Requests that paths which only ever got 404 have handed over to "(not found)".
Result<std::uint64_t> evicted_requests(engine_bpf& bpf, unsigned target) {
  monitor_target_settings settings{};
  if (bpf_map_lookup_elem(bpf_map__fd(bpf.maps.target_settings), &target, &settings) != 0) {
    return system_error(errno, "read the map target_settings");
  }
  const Result<monitor_endpoint> slot = read_slot(bpf, settings.special[SPECIAL_NOT_FOUND]);
  if (!slot) {
    return slot.error();
  }
  return slot->completed;
}

// One walk over the target's endpoints.
Status walk_endpoints(engine_bpf& bpf, unsigned target, std::vector<EndpointCounters>& endpoints) {
  endpoints.clear();
  return for_each_entry<monitor_endpoint_key, monitor_endpoint_ref>(
      bpf.maps.endpoint_index, [&](const monitor_endpoint_key& key, const monitor_endpoint_ref& ref) {
        if (key.target != target) {
          return;
        }
        const Result<monitor_endpoint> endpoint = read_slot(bpf, ref.id);
        if (!endpoint || endpoint->word >> 32 != ref.generation) {
          return;  // evicted since: "(not found)" has its counts
        }
        if (key.method_length != 0 || !counted_nothing(*endpoint)) {
          endpoints.push_back(endpoint_counters(key, *endpoint));
        }
      });
}

// The target's endpoints. An endpoint that is evicted while they are walked would be counted twice, or not at all: they
// are then walked again. Under a flood of 404s the last of a few walks has to do.
Status read_endpoints(engine_bpf& bpf, unsigned target, std::vector<EndpointCounters>& endpoints) {
  constexpr int kMostWalks = 8;
  Result<std::uint64_t> before = evicted_requests(bpf, target);
  for (int walk = 0; walk < kMostWalks; ++walk) {
    if (!before) {
      return std::move(before).error();
    }
    if (Status status = walk_endpoints(bpf, target, endpoints); !status) {
      return status;
    }
    Result<std::uint64_t> after = evicted_requests(bpf, target);
    if (after && *after == *before) {
      break;
    }
    before = std::move(after);
  }
  return Ok{};
}

}  // namespace

Result<std::uint64_t> recursion_misses(engine_bpf& bpf) {
  std::uint64_t misses = 0;
  for (const bpf_program* program :
       {bpf.progs.on_received, bpf.progs.on_sent, bpf.progs.on_state, bpf.progs.on_fork, bpf.progs.on_exit}) {
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
  if (Status status = read_endpoints(bpf, target, counters.endpoints); !status) {
    return std::move(status).error();
  }
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
