// SPDX-License-Identifier: Apache-2.0
// How full an engine's maps are, and the memory that it takes in the kernel.
#include <bpf/bpf.h>
#include <sys/types.h>

#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "session/engine_state.h"

namespace monitor {
namespace {

// What the kernel accounts for the object behind a descriptor (kernel/bpf/syscall.c, bpf_map_show_fdinfo).
std::uint64_t accounted_bytes(int fd) {
  std::ifstream lines("/proc/self/fdinfo/" + std::to_string(fd));
  constexpr std::string_view kLabel = "memlock:";
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with(kLabel)) {
      return std::strtoull(line.c_str() + kLabel.size(), nullptr, 10);
    }
  }
  return 0;
}

std::uint64_t count_entries(const Map& map) {
  std::vector<char> key(map.key_size());
  std::uint64_t count = 0;
  // A key that is deleted meanwhile starts it anew: no more is counted than there can be.
  for (const void* last = nullptr; count < map.max_entries() && bpf_map_get_next_key(map.fd(), last, key.data()) == 0;
       last = key.data()) {
    ++count;
  }
  return count;
}

}  // namespace

Result<std::vector<MapUsage>> Engine::usage() const {
  auto& objects = state_->objects;
  Result<std::vector<TargetInfo>> followed = targets();
  if (!followed) {
    return std::move(followed).error();
  }
  std::uint64_t open = 0;  // records in the sockets themselves
  for (const TargetInfo& target : *followed) {
    Result<std::vector<monitor_live>> records = read_records(objects, target.index);
    if (!records) {
      return std::move(records).error();
    }
    open += records->size();
  }
  std::vector<MapUsage> usage;
  for_each_map(objects, [&](const std::string& name, const Map& map, std::size_t, std::size_t) {
    MapUsage row{name, std::nullopt, map.max_entries(), accounted_bytes(map.fd())};
    if (&map == &objects.targets) {
      row.entries = followed->size();
    } else if (&map == &objects.connections) {
      row.entries = open;
      row.capacity = 0;
      row.bytes += open * map.value_size();  // what lies in the sockets is not accounted to the map
    } else if (&map == &objects.endpoint_index || &map == &objects.processes || &map == &objects.spilled_requests ||
               &map == &objects.addressed_connections || &map == &objects.listen_ports) {
      row.entries = count_entries(map);
    }
    usage.push_back(std::move(row));
  });
  MapUsage programs{"programs", std::nullopt, 0, 0};
  for_each_program(objects, [&](const std::string&, const Program& program, bool) {
    if (program) {
      programs.bytes += accounted_bytes(program.fd());
    }
  });
  usage.push_back(std::move(programs));
  return usage;
}

}  // namespace monitor
