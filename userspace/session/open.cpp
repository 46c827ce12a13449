// SPDX-License-Identifier: Apache-2.0
#include "session/open.h"

#include <bpf/bpf.h>
#include <monitor/abi.h>

#include <algorithm>
#include <cstring>
#include <string>
#include <utility>
#include <vector>

namespace monitor {
namespace {

Error damaged(const Pins& pins, const std::string& missing, const std::string& why) {
  return Error{ErrorCode::kFailed, "the engine attached at " + pins.directory() + " is damaged: " + missing + " " + why,
               "remove its remains with monitor detach --all, then attach again"};
}

// Opens a map of the engine, which must have the sizes that the table gives it.
Result<Map> open_map(const Pins& pins, const std::string& name, std::size_t key_size, std::size_t value_size) {
  if (!pins.has("maps", name)) {
    return damaged(pins, "maps/" + name, "is missing");
  }
  Map map = TRY(Map::of(name, TRY(pins.open("maps", name))));
  if ((key_size != 0 && map.key_size() != key_size) || (value_size != 0 && map.value_size() != value_size)) {
    return damaged(pins, "maps/" + name, "has the wrong size");
  }
  return map;
}

// Checks the version and returns the profile. This comes first, because the tables of programs and maps describe one
// version only.
Result<Profile> check_version(const Pins& pins) {
  const Map map = TRY(open_map(pins, "engine", sizeof(std::uint32_t), 0));
  std::vector<char> value(map.value_size());
  const std::uint32_t first = 0;
  if (value.size() < sizeof(monitor_engine::abi_version) || bpf_map_lookup_elem(map.fd(), &first, value.data()) != 0) {
    return damaged(pins, "maps/engine", "cannot be read");
  }
  monitor_engine about{};
  std::memcpy(&about, value.data(), std::min(value.size(), sizeof(about)));
  if (about.abi_version == MONITOR_ABI_VERSION) {
    return about.by_address != 0 ? Profile::kSyscall : Profile::kSocket;
  }
  return Error{ErrorCode::kUnsupported,
               "the engine attached at " + pins.directory() +
                   " was attached by another version of monitor: its ABI is " + std::to_string(about.abi_version) +
                   ", this one's is " + std::to_string(MONITOR_ABI_VERSION),
               "use that version, or run monitor detach --all and attach again"};
}

Status open_programs(const Pins& pins, PartId part, Objects& objects) {
  return for_each_program(objects.profile, part, [&](ProgramId id) -> Status {
    const std::string name = id.row().name;
    if (pins.has("programs", name)) {
      objects.programs[id.index()] = Program(name, TRY(pins.open("programs", name)));
      return Ok{};
    }
    // The programs of other parts are pinned when a target needs them.
    return part.row().is_core() ? Status(damaged(pins, "programs/" + name, "is missing")) : Status(Ok{});
  });
}

}  // namespace

Result<Objects> open_objects(const Pins& pins) {
  Objects objects;
  objects.profile = TRY(check_version(pins));
  for (std::size_t index = 0; index < kMaps.size(); ++index) {
    const MapRow& row = kMaps[index];
    objects.maps[index] = TRY(open_map(pins, row.name, row.key_size, row.value_size));
  }
  for (std::size_t index = 0; index < kParts.size(); ++index) {
    TRY(open_programs(pins, PartId(index), objects));
  }
  TRY(objects.share());
  return objects;
}

Status check_attached(const Pins& pins, const Links& links, Profile profile) {
  return for_each_program(profile, "core", [&](ProgramId id) -> Status {
    if (id.row().is_hook() && !links.has(id)) {
      return damaged(pins, "links/" + link_pin_name(id, {}), "is missing, so some events are not counted");
    }
    return Ok{};
  });
}

}  // namespace monitor
