// SPDX-License-Identifier: Apache-2.0
// After a lost event: what is counted as in flight is compared with what the live records hold. Only endpoints on which
// nothing moved meanwhile are judged, and a difference is believed when two looks in a row found it.
#include <bpf/bpf.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "session/engine_state.h"
#include "session/map_walk.h"
#include "session/run_program.h"

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

// What the counters say is in flight, by endpoint slot, and open.
Result<Counts> counted(const Objects& objects, unsigned target) {
  Counts counts;
  monitor_target totals{};
  if (bpf_map_lookup_elem(objects.targets.fd(), &target, &totals) != 0) {
    return system_error(errno, "read the map targets");
  }
  counts[kConnections] = Count{totals.connections, 0};
  const Status status = for_each_entry<std::uint32_t, monitor_endpoint>(
      objects.endpoint_table, [&](std::uint32_t id, const monitor_endpoint& endpoint) {
        if (endpoint.key.target == target && (endpoint.word & UINT32_MAX) != 0) {
          counts[id] = Count{endpoint.word & UINT32_MAX, endpoint.completed};
        }
      });
  return status ? Result<Counts>(std::move(counts)) : status.error();
}

// What is counted and has no live record. Empty when a record holds more requests than it tells.
Result<Surplus> without_record(const Objects& objects, unsigned target, const Counts& counts) {
  Result<std::vector<monitor_live>> records = read_records(objects, target);
  if (!records) {
    return std::move(records).error();
  }
  Result<std::vector<monitor_live>> addressed = read_addressed_records(objects, target);
  if (!addressed) {
    return std::move(addressed).error();
  }
  records->insert(records->end(), addressed->begin(), addressed->end());
  Surplus surplus;
  for (const auto& [id, count] : counts) {
    surplus[id] = count.present;
  }
  const auto take = [&surplus](std::uint32_t id) {
    if (const auto found = surplus.find(id); found != surplus.end() && found->second > 0) {
      found->second -= 1;
    }
  };
  for (const monitor_live& live : *records) {
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

Status correct(const Objects& objects, unsigned target, std::uint32_t id, std::uint64_t count) {
  // target, slot, requests, connections
  const std::array<std::uint64_t, 4> correction = id == kConnections
                                                      ? std::array<std::uint64_t, 4>{target, 0, 0, count}
                                                      : std::array<std::uint64_t, 4>{target, id, count, 0};
  return run_program(objects.correct, correction, "correct the counters after a lost event");
}

}  // namespace

Status reconcile(const Objects& objects, unsigned target, TargetState& state, std::uint64_t misses) {
  // Now and then without a miss too: a close can pass between a connection's first receive and its record.
  // The first look of a process is one of those: others may never come.
  constexpr unsigned kEvery = 16;
  Result<monitor_target_settings> settings = read_settings(objects, target);
  if (!settings) {
    return std::move(settings).error();
  }
  if (misses == settings->misses_reconciled && state.suspected.empty() && state.looks++ % kEvery != 0) {
    return Ok{};
  }
  const Result<Counts> before = counted(objects, target);
  if (!before) {
    return before.error();
  }
  const Result<Surplus> surplus = without_record(objects, target, *before);
  if (!surplus) {
    return surplus.error();
  }
  if (surplus->empty()) {
    return Ok{};  // nothing can be said now
  }
  const Result<Counts> after = counted(objects, target);
  if (!after) {
    return after.error();
  }
  Surplus suspected;
  bool all_judged = true;
  for (const auto& [id, count] : *surplus) {
    const auto now = after->find(id);
    const bool moved = now == after->end() || now->second != before->at(id);
    all_judged = all_judged && !moved;
    if (count > 0 && !moved) {
      suspected[id] = count;
    }
  }
  Surplus confirmed;
  for (const auto& [id, count] : suspected) {
    if (const auto found = state.suspected.find(id); found != state.suspected.end()) {
      confirmed[id] = std::min(count, found->second);
    }
  }
  if (suspected.empty() && all_judged && settings->misses_reconciled != misses) {
    settings->misses_reconciled = misses;
    if (Status status = write_settings(objects, target, *settings); !status) {
      return status;
    }
  }
  state.suspected = std::move(suspected);
  for (const auto& [id, count] : confirmed) {
    if (Status status = correct(objects, target, id, count); !status) {
      return status;
    }
    if ((state.suspected[id] -= count) == 0) {
      state.suspected.erase(id);
    }
  }
  return Ok{};
}

}  // namespace monitor
