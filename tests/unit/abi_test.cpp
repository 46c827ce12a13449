// SPDX-License-Identifier: Apache-2.0
// The maps of both BPF objects have keys and values of the sizes that include/monitor/abi.h gives them.
#include <bpf/libbpf.h>
#include <doctest/doctest.h>
#include <monitor/abi.h>

#include <cstddef>

#include "engine_skeleton.h"

namespace monitor {
namespace {

void check_maps(const engine_bpf& skeleton) {
  const auto check = [](const bpf_map* map, std::size_t key, std::size_t value) {
    CAPTURE(bpf_map__name(map));
    CHECK(bpf_map__key_size(map) == key);
    CHECK(bpf_map__value_size(map) == value);
  };
  const auto& maps = skeleton.maps;
  check(maps.processes, sizeof(std::uint32_t), sizeof(monitor_process));
  check(maps.workers, sizeof(std::uint32_t), sizeof(monitor_worker));
  check(maps.free_workers, 0, sizeof(std::uint32_t));
  check(maps.targets, sizeof(std::uint32_t), sizeof(monitor_target));
  check(maps.target_settings, sizeof(std::uint32_t), sizeof(monitor_target_settings));
  check(maps.endpoint_index, sizeof(monitor_endpoint_key), sizeof(monitor_endpoint_ref));
  check(maps.endpoint_table, sizeof(std::uint32_t), sizeof(monitor_endpoint));
  check(maps.free_endpoints, 0, sizeof(std::uint32_t));
  check(maps.listener_index, sizeof(monitor_listener_key), sizeof(std::uint32_t));
  check(maps.listener_table, sizeof(std::uint32_t), sizeof(monitor_listener));
  check(maps.free_listeners, 0, sizeof(std::uint32_t));
  check(maps.engine, sizeof(std::uint32_t), sizeof(monitor_engine));
  check(maps.cpu_samples, sizeof(std::uint32_t), sizeof(monitor_cpu_sample));
  check(maps.data_evictions, sizeof(std::uint32_t), sizeof(monitor_evictions));
  check(maps.data_iter_request, sizeof(std::uint32_t), sizeof(monitor_iter_request));
  check(maps.data_followed, sizeof(std::uint32_t), MONITOR_MAX_PID / 8);
  CHECK(bpf_map__max_entries(maps.targets) == MONITOR_TARGETS);
  CHECK(bpf_map__max_entries(maps.processes) == MONITOR_PROCESSES);
}

}  // namespace

TEST_CASE("abi: keys and values of the maps, in both BPF objects") {
  for (const bool by_address : {false, true}) {
    CAPTURE(by_address);
    const EngineSkeleton skeleton = open_engine(by_address);
    REQUIRE(skeleton != nullptr);
    check_maps(*skeleton);
  }
}

TEST_CASE("abi: the structures have no padding between their fields") {
  CHECK(sizeof(monitor_endpoint_key) == 2 + 1 + 1 + 1 + 1 + MONITOR_METHOD_SIZE + MONITOR_PATH_SIZE);
  CHECK(sizeof(monitor_target) == sizeof(std::uint64_t) * (6 + UNDERCOUNT_CAUSES));
  CHECK(sizeof(monitor_engine) == 4 * 4 + 2 * 8 + 32);
  CHECK(offsetof(monitor_engine, abi_version) == 0);
  CHECK(sizeof(monitor_target_settings) == 4 * 5 + 4 * MONITOR_PREVIOUS_ROOTS + 8 * 5);
  CHECK(sizeof(monitor_iter_request) == 16);
  CHECK(sizeof(monitor_evictions) == 32);
  CHECK(sizeof(monitor_route_state) == 2 * (256 + MONITOR_ROUTE_METHODS));
  CHECK(sizeof(monitor_route) == 8 + MONITOR_PATH_SIZE);
  CHECK(sizeof(monitor_cpu_sample) == 40);
  CHECK(sizeof(monitor_process) == 12);
  CHECK(sizeof(monitor_worker) == 24);
  CHECK(sizeof(monitor_durations) == 8 + sizeof(std::uint64_t) * (1 + MONITOR_DURATION_BUCKETS));
  CHECK(sizeof(monitor_endpoint) ==
        sizeof(std::uint64_t) * 15 + sizeof(monitor_endpoint_key) + MONITOR_STATUSES * sizeof(monitor_durations));
  CHECK(sizeof(monitor_socket) == 8 * 3 + 4 * 3 + 2 + 1 + 1 + 2 + 2 + 4 + 16 + 4 * 2);
  CHECK(sizeof(monitor_unix_name) == 8 + MONITOR_UNIX_NAME_SIZE);
  CHECK(sizeof(monitor_live) == 8 * 2 + 4 * 4 + 4 * MONITOR_RING);
}

}  // namespace monitor
