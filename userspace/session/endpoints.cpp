// SPDX-License-Identifier: Apache-2.0
// What the endpoints of a target counted, and room for new ones when strangers have filled their table.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <cstring>
#include <utility>

#include "session/engine_state.h"
#include "session/map_walk.h"
#include "session/run_program.h"

namespace monitor {
namespace {

bool counted_nothing(const monitor_endpoint& e) {
  return e.completed == 0 && (e.word & UINT32_MAX) == 0;
}

bool is_unanswered(const monitor_endpoint& e) {
  return e.key.method_length != 0 && (e.word & UINT32_MAX) == 0 && e.completed != 0 &&
         e.completed == e.status[0] + e.not_found;
}

EndpointCounters endpoint_counters(const monitor_endpoint_key& key, const monitor_endpoint& e) {
  EndpointCounters counters;
  counters.method.assign(key.method, key.method_length);
  counters.path.assign(key.path, key.path_length);
  counters.path_cut = (key.flags & ENDPOINT_PATH_CUT) != 0;
  counters.method_cut = (key.flags & ENDPOINT_METHOD_CUT) != 0;
  counters.active = e.word & UINT32_MAX;
  counters.peak = e.peak;
  counters.completed = e.completed;
  counters.failed = e.failed;
  counters.aborted = e.aborted;
  counters.websockets = e.websockets;
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

// A slot, and its word as it was seen.
struct Slot {
  std::uint64_t id = 0;
  std::uint64_t word = 0;
};

// What one walk over the index found.
struct Walk {
  std::vector<EndpointCounters> endpoints;  // of the target
  std::vector<Slot> unanswered;             // its endpoints whose requests have all ended, none with an answer
  std::uint32_t entries = 0;                // of all targets
};

Status walk_endpoints(engine_bpf& bpf, unsigned target, Walk& walk) {
  walk = Walk{};
  return for_each_entry<monitor_endpoint_key, monitor_endpoint_ref>(
      bpf.maps.endpoint_index, [&](const monitor_endpoint_key& key, const monitor_endpoint_ref& ref) {
        walk.entries += 1;
        if (key.target != target) {
          return;
        }
        const Result<monitor_endpoint> endpoint = read_slot(bpf, ref.id);
        if (!endpoint || endpoint->word >> 32 != ref.generation) {
          return;  // evicted since: "(not found)" has its counts
        }
        if (key.method_length == 0 && counted_nothing(*endpoint)) {
          return;
        }
        walk.endpoints.push_back(endpoint_counters(key, *endpoint));
        if (is_unanswered(*endpoint)) {
          walk.unanswered.push_back(Slot{ref.id, endpoint->word});
        }
      });
}

// A client that asks for thousands of paths and goes away before the answers would fill the table for good.
Status evict_unanswered(engine_bpf& bpf, const Walk& walk) {
  if (walk.unanswered.empty() || walk.entries < bpf_map__max_entries(bpf.maps.endpoint_index) / 4 * 3) {
    return Ok{};
  }
  for (const Slot& slot : walk.unanswered) {
    Status status = run_program(bpf.progs.evict, std::array{slot.id, slot.word}, "make room in the table of endpoints");
    if (!status) {
      return status;
    }
  }
  return Ok{};
}

}  // namespace

Result<std::vector<EndpointCounters>> read_endpoints(engine_bpf& bpf, unsigned target) {
  constexpr int kMostWalks = 8;
  Walk walk;
  Result<std::uint64_t> before = evicted_requests(bpf, target);
  for (int round = 0; round < kMostWalks; ++round) {
    if (!before) {
      return std::move(before).error();
    }
    if (Status status = walk_endpoints(bpf, target, walk); !status) {
      return std::move(status).error();
    }
    if (Status status = evict_unanswered(bpf, walk); !status) {
      return std::move(status).error();
    }
    Result<std::uint64_t> after = evicted_requests(bpf, target);
    if (after && *after == *before) {
      break;
    }
    before = std::move(after);
  }
  return std::move(walk.endpoints);
}

}  // namespace monitor
