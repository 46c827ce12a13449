// SPDX-License-Identifier: Apache-2.0
#include "session/records.h"

#include <bpf/bpf.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "session/iterator.h"
#include "session/run_program.h"

namespace monitor {
namespace {

Result<std::vector<monitor_live>> read_map(const Program& program, const Map& map, unsigned target) {
  std::vector<monitor_live> found;
  if (!program) {
    return found;  // the profile has no records there
  }
  bpf_iter_link_info info{};
  info.map.map_fd = static_cast<std::uint32_t>(map.fd());
  const std::vector<char> records = TRY(read_iterator(program, info));
  for (std::size_t at = 0; at + sizeof(monitor_live) <= records.size(); at += sizeof(monitor_live)) {
    monitor_live live{};
    std::memcpy(&live, records.data() + at, sizeof(live));
    if (live.target == target) {
      found.push_back(live);
    }
  }
  return found;
}

}  // namespace

Result<std::vector<monitor_live>> read_records(const Objects& objects, unsigned target) {
  return read_map(objects.program("iterate_connections"), objects.map("connections"), target);
}

Result<std::vector<monitor_live>> read_addressed_records(const Objects& objects, unsigned target) {
  return read_map(objects.program("iterate_addressed"), objects.map("addressed_connections"), target);
}

Status sweep(const Objects& objects, const std::vector<monitor_live>& records, const std::set<SocketIdentity>& open) {
  constexpr std::uint64_t kTargetStays = 0;
  for (const monitor_live& live : records) {
    if (!open.contains({live.address, live.inode})) {
      TRY(run_program(objects.program("sweep"), std::array{live.address, live.inode, kTargetStays},
                      "remove the record of a closed connection"));
    }
  }
  return Ok{};
}

Status disown_sockets(const Objects& objects, unsigned target, const std::set<SocketIdentity>& sockets) {
  constexpr std::uint64_t kTargetLeaves = 1;
  for (const auto& [address, inode] : sockets) {
    // Repeats until a reading does not find it, for the reason below.
    for (bool found = true; found;) {
      *objects.iter_request = {.action = ITER_DISOWN, .target = target, .socket = address};
      const Result<std::vector<monitor_live>> records = read_records(objects, target);
      *objects.iter_request = {};
      if (!records) {
        return records.error();
      }
      found = std::any_of(records->begin(), records->end(),
                          [socket = address](const monitor_live& live) { return live.address == socket; });
    }
    TRY(run_program(objects.program("sweep"), std::array{address, inode, kTargetLeaves},
                    "remove a connection of a process that is no longer followed"));
  }
  return Ok{};
}

Status disown_records(const Objects& objects, unsigned target) {
  constexpr std::uint64_t kTargetLeaves = 1;
  // Repeats until a reading finds no record: an iterator that pauses in the middle can skip some.
  for (bool found = true; found;) {
    *objects.iter_request = {.action = ITER_DISOWN, .target = target, .socket = 0};
    const Result<std::vector<monitor_live>> deleted = read_records(objects, target);
    *objects.iter_request = {};
    if (!deleted) {
      return deleted.error();
    }
    const std::vector<monitor_live> addressed = TRY(read_addressed_records(objects, target));
    for (const monitor_live& live : addressed) {
      TRY(run_program(objects.program("sweep"), std::array{live.address, live.inode, kTargetLeaves},
                      "remove a connection of a server that is no longer followed"));
    }
    found = !deleted->empty() || !addressed.empty();
  }
  return Ok{};
}

}  // namespace monitor
