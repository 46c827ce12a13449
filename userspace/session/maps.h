// SPDX-License-Identifier: Apache-2.0
// The table of the engine's BPF maps. Sizing, loading, filling, pinning, opening pins and the report of memory follow
// from it: a new map is one row. bpf/state/maps.bpf.h describes what each map holds, who writes it and when an entry
// dies. A kernel test compares the table with the built objects.
#pragma once

#include <monitor/abi.h>

#include <array>
#include <cstddef>
#include <cstdint>

#include "session/table.h"

namespace monitor {

// The value of the map `followed`: one bit for each process id.
struct FollowedBits {
  std::array<std::uint64_t, MONITOR_MAX_PID / 64> words;
};

enum class MapUse {
  kPlain,
  kCounted,    // a hash: Engine::usage reports how many entries it has
  kFreeSlots,  // a queue of free slots of another map: filled with all of them after the load
  kVariable,   // a variable of bpf/ that user space writes in place
};

// Which of EngineOptions bounds the number of entries.
enum class MapLimit { kFixed, kTargets, kEndpoints, kConnections, kRouteStates, kRoutes };

struct MapRow {
  const char* name = "";
  std::size_t key_size = 0;    // bytes; 0: no key, or one that is private to bpf/
  std::size_t value_size = 0;  // bytes; 0: private to bpf/
  MapUse use = MapUse::kPlain;
  MapLimit limit = MapLimit::kFixed;
};

inline constexpr std::size_t kSlotSize = sizeof(std::uint32_t);

inline constexpr std::array kMaps = {
    MapRow{"engine", kSlotSize, sizeof(monitor_engine)},
    MapRow{"processes", sizeof(std::uint32_t), sizeof(monitor_process), MapUse::kCounted},
    MapRow{"workers", kSlotSize, sizeof(monitor_worker)},
    MapRow{"free_workers", 0, kSlotSize, MapUse::kFreeSlots},
    MapRow{"targets", kSlotSize, sizeof(monitor_target), MapUse::kPlain, MapLimit::kTargets},
    MapRow{"target_settings", kSlotSize, sizeof(monitor_target_settings), MapUse::kPlain, MapLimit::kTargets},
    MapRow{"endpoint_index", sizeof(monitor_endpoint_key), sizeof(monitor_endpoint_ref), MapUse::kCounted,
           MapLimit::kEndpoints},
    MapRow{"endpoint_table", kSlotSize, sizeof(monitor_endpoint), MapUse::kPlain, MapLimit::kEndpoints},
    MapRow{"latencies", kSlotSize, sizeof(monitor_latencies), MapUse::kPlain, MapLimit::kEndpoints},
    MapRow{"early_arrivals", sizeof(int), 0},
    MapRow{"free_endpoints", 0, kSlotSize, MapUse::kFreeSlots, MapLimit::kEndpoints},
    MapRow{"route_states", kSlotSize, sizeof(monitor_route_state), MapUse::kPlain, MapLimit::kRouteStates},
    MapRow{"routes", kSlotSize, sizeof(monitor_route), MapUse::kPlain, MapLimit::kRoutes},
    MapRow{"route_methods", kSlotSize, sizeof(monitor_route_methods)},
    MapRow{"connections", sizeof(int), 0},
    MapRow{"addressed_connections", sizeof(std::uint64_t), 0, MapUse::kCounted, MapLimit::kConnections},
    MapRow{"spilled_requests", 0, 0, MapUse::kCounted},
    MapRow{"listens", 0, 0},
    MapRow{"services", sizeof(monitor_service_key), sizeof(std::uint32_t), MapUse::kCounted},
    MapRow{"served", kSlotSize, sizeof(monitor_served), MapUse::kVariable},
    MapRow{"orphaned_ns", kSlotSize, sizeof(std::uint64_t), MapUse::kVariable},
    MapRow{"shared_since", sizeof(int), sizeof(std::uint64_t)},
    MapRow{"shared_listeners", sizeof(std::uint64_t), sizeof(std::uint64_t)},
    MapRow{"shared_count", kSlotSize, sizeof(std::uint64_t), MapUse::kVariable},
    MapRow{"listener_index", sizeof(monitor_listener_key), kSlotSize, MapUse::kCounted},
    MapRow{"listener_table", kSlotSize, sizeof(monitor_listener)},
    MapRow{"free_listeners", 0, kSlotSize, MapUse::kFreeSlots},
    MapRow{"quic_seen", 0, sizeof(std::uint32_t)},
    MapRow{"cpu_samples", sizeof(std::uint32_t), sizeof(monitor_cpu_sample)},
    MapRow{"evictions", kSlotSize, sizeof(monitor_evictions), MapUse::kVariable},
    MapRow{"iter_request", kSlotSize, sizeof(monitor_iter_request), MapUse::kVariable},
    MapRow{"followed", kSlotSize, sizeof(FollowedBits), MapUse::kVariable},
    MapRow{"receive_scratch", kSlotSize, 0},
    MapRow{"send_scratch", kSlotSize, 0},
};

// A row of the table, written as the map's name. A name that is not in the table does not compile.
class MapId {
 public:
  consteval MapId(const char* name) : index_(row_index(kMaps, name)) {}  // NOLINT(google-explicit-constructor)
  constexpr explicit MapId(std::size_t index) : index_(index) {}

  constexpr std::size_t index() const { return index_; }
  constexpr const MapRow& row() const { return kMaps[index_]; }
  bool operator==(const MapId&) const = default;

 private:
  std::size_t index_;
};

}  // namespace monitor
