// SPDX-License-Identifier: Apache-2.0
#include "session/reconcile.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "session/endpoints.h"
#include "session/map_walk.h"
#include "session/records.h"
#include "session/run_program.h"
#include "session/target_settings.h"

namespace monitor {
namespace {

// Key of the open connections among the endpoint slots.
constexpr std::uint32_t kConnections = UINT32_MAX;

struct Count {
  std::uint64_t present = 0;  // in flight, or open
  std::uint64_t ended = 0;
  bool operator==(const Count&) const = default;
};
using Counts = std::map<std::uint32_t, Count>;
using Surplus = std::map<std::uint32_t, std::uint64_t>;

// The requests in flight by endpoint slot, and the open connections, as the counters have them.
Result<Counts> counted(const Objects& objects, unsigned target) {
  Counts counts;
  monitor_target totals{};
  if (bpf_map_lookup_elem(objects.map("targets").fd(), &target, &totals) != 0) {
    return system_error(errno, "read the map targets");
  }
  counts[kConnections] = Count{totals.connections, 0};
  TRY((for_each_entry<std::uint32_t, monitor_endpoint>(
      objects.map("endpoint_table"), [&](std::uint32_t id, const monitor_endpoint& endpoint) {
        if (endpoint.key.target == target && (endpoint.word & UINT32_MAX) != 0) {
          counts[id] = Count{endpoint.word & UINT32_MAX, completed_requests(endpoint)};
        }
      })));
  return counts;
}

// The part of `counts` that no live record accounts for. Empty if it is unknown: a record has more requests in flight
// than it lists.
Result<Surplus> without_record(const Objects& objects, unsigned target, const Counts& counts) {
  std::vector<monitor_live> records = TRY(read_records(objects, target));
  const std::vector<monitor_live> addressed = TRY(read_addressed_records(objects, target));
  records.insert(records.end(), addressed.begin(), addressed.end());
  Surplus surplus;
  for (const auto& [id, count] : counts) {
    surplus[id] = count.present;
  }
  const auto take = [&surplus](std::uint32_t id) {
    if (const auto found = surplus.find(id); found != surplus.end() && found->second > 0) {
      found->second -= 1;
    }
  };
  for (const monitor_live& live : records) {
    if (live.role != ROLE_SERVER || live.closed != 0) {
      continue;
    }
    if (live.in_flight > MONITOR_RING) {
      return Surplus{};
    }
    take(kConnections);
    for (std::uint32_t i = 0; i < live.in_flight; ++i) {
      take(live.endpoint[i]);
    }
  }
  return surplus;
}

// The surplus of those counters that did not change from `before` to `after`. `all_judged`: whether no counter changed.
Surplus unmoved(const Surplus& surplus, const Counts& before, const Counts& after, bool& all_judged) {
  Surplus found;
  all_judged = true;
  for (const auto& [id, count] : surplus) {
    const auto now = after.find(id);
    const bool moved = now == after.end() || now->second != before.at(id);
    all_judged = all_judged && !moved;
    if (count > 0 && !moved) {
      found[id] = count;
    }
  }
  return found;
}

Surplus in_both(const Surplus& now, const Surplus& earlier) {
  Surplus both;
  for (const auto& [id, count] : now) {
    if (const auto found = earlier.find(id); found != earlier.end()) {
      both[id] = std::min(count, found->second);
    }
  }
  return both;
}

Status correct(const Objects& objects, unsigned target, std::uint32_t id, std::uint64_t count) {
  // target, slot, requests, connections
  const std::array<std::uint64_t, 4> correction = id == kConnections
                                                      ? std::array<std::uint64_t, 4>{target, 0, 0, count}
                                                      : std::array<std::uint64_t, 4>{target, id, count, 0};
  return run_program(objects.program("correct"), correction, "correct the counters after a lost event");
}

}  // namespace

Status reconcile(const Objects& objects, unsigned target, TargetState& state, std::uint64_t misses) {
  // Every 16th call compares without a lost event, too: a connection can close between its first receive and the making
  // of its record. The first call of a process is one of these, because a short command makes no other.
  constexpr unsigned kEvery = 16;
  monitor_target_settings settings = TRY(read_settings(objects, target));
  if (settings.since_ns == 0) {
    return Ok{};  // the target's registration is not complete
  }
  if (misses == settings.misses_reconciled && state.suspected.empty() && state.reconciles++ % kEvery != 0) {
    return Ok{};
  }
  const Counts before = TRY(counted(objects, target));
  const Surplus surplus = TRY(without_record(objects, target, before));
  if (surplus.empty()) {
    return Ok{};
  }
  const Counts after = TRY(counted(objects, target));
  bool all_judged = true;
  Surplus suspected = unmoved(surplus, before, after, all_judged);
  const Surplus confirmed = in_both(suspected, state.suspected);
  if (suspected.empty() && all_judged && settings.misses_reconciled != misses) {
    settings.misses_reconciled = misses;
    TRY(write_settings(objects, target, settings));
  }
  state.suspected = std::move(suspected);
  for (const auto& [id, count] : confirmed) {
    TRY(correct(objects, target, id, count));
    if ((state.suspected[id] -= count) == 0) {
      state.suspected.erase(id);
    }
  }
  return Ok{};
}

}  // namespace monitor
