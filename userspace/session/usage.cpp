// SPDX-License-Identifier: Apache-2.0
// How full an engine's maps are, and the memory that it takes in the kernel.
#include <bpf/bpf.h>
#include <sys/types.h>

#include <cstdint>
#include <cstdlib>
#include <fstream>
#include <string>
#include <vector>

#include "session/engine_state.h"
#include "session/records.h"

namespace monitor {
namespace {

// The memory that the kernel charges for the object of a descriptor (kernel/bpf/syscall.c, bpf_map_show_fdinfo).
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
  // The iteration starts again when its key is deleted meanwhile, so the count is bounded by the capacity.
  for (const void* last = nullptr; count < map.max_entries() && bpf_map_get_next_key(map.fd(), last, key.data()) == 0;
       last = key.data()) {
    ++count;
  }
  return count;
}

}  // namespace

Result<std::vector<MapUsage>> Engine::usage() const {
  const Objects& objects = state_->objects;
  const std::vector<TargetInfo> followed = TRY(targets());
  std::uint64_t open = 0;  // records in the sockets themselves
  for (const TargetInfo& target : followed) {
    open += TRY(read_records(objects, target.index)).size();
  }
  std::vector<MapUsage> usage;
  for (std::size_t index = 0; index < kMaps.size(); ++index) {
    const MapId id(index);
    const Map& map = objects.map(id);
    MapUsage row{map.name(), std::nullopt, map.max_entries(), accounted_bytes(map.fd())};
    if (id == MapId("targets")) {
      row.entries = followed.size();
    } else if (id == MapId("connections")) {
      row.entries = open;
      row.capacity = 0;
      row.bytes += open * map.value_size();  // the map is not charged for records in the sockets' storage
    } else if (id.row().use == MapUse::kCounted) {
      row.entries = count_entries(map);
    }
    usage.push_back(std::move(row));
  }
  MapUsage programs{"programs", std::nullopt, 0, 0};
  for (const Program& program : objects.programs) {
    programs.bytes += program ? accounted_bytes(program.fd()) : 0;
  }
  usage.push_back(std::move(programs));
  return usage;
}

}  // namespace monitor
