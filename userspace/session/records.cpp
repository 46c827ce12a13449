// SPDX-License-Identifier: Apache-2.0
// Reading the records of connections, and sweeping those by address whose sockets have gone: a Unix socket's close
// makes no event of its own, and one of TCP's may be lost.
#include <bpf/bpf.h>

#include <array>
#include <cstring>

#include "session/engine_state.h"
#include "session/iterator.h"
#include "session/run_program.h"

namespace monitor {
namespace {

Result<std::vector<monitor_live>> read_map(const Program& program, const Map& map, unsigned target) {
  std::vector<monitor_live> found;
  if (!program) {
    return found;  // the profile keeps none there
  }
  bpf_iter_link_info info{};
  info.map.map_fd = static_cast<std::uint32_t>(map.fd());
  Result<std::vector<char>> records = read_iterator(program, info);
  if (!records) {
    return std::move(records).error();
  }
  for (std::size_t at = 0; at + sizeof(monitor_live) <= records->size(); at += sizeof(monitor_live)) {
    monitor_live live{};
    std::memcpy(&live, records->data() + at, sizeof(live));
    if (live.target == target) {
      found.push_back(live);
    }
  }
  return found;
}

}  // namespace

Result<std::vector<monitor_live>> read_records(const Objects& objects, unsigned target) {
  return read_map(objects.iterate_connections, objects.connections, target);
}

Result<std::vector<monitor_live>> read_addressed_records(const Objects& objects, unsigned target) {
  return read_map(objects.iterate_addressed, objects.addressed_connections, target);
}

Status sweep(const Objects& objects, const std::vector<monitor_live>& records, const std::set<SocketIdentity>& open) {
  constexpr std::uint64_t kStays = 0;
  for (const monitor_live& live : records) {
    if (open.contains({live.address, live.inode})) {
      continue;
    }
    Status status = run_program(objects.sweep, std::array{live.address, live.inode, kStays},
                                "take out a connection that has closed");
    if (!status) {
      return status;
    }
  }
  return Ok{};
}

Status disown_records(const Objects& objects, unsigned target) {
  constexpr std::uint64_t kLeaves = 1;
  // Until a reading finds none: one that pauses in the middle may pass over some.
  for (bool found = true; found;) {
    *objects.iter_request = {.action = ITER_DISOWN, .target = target, .socket = 0};
    const Result<std::vector<monitor_live>> deleted = read_records(objects, target);
    *objects.iter_request = {};
    if (!deleted) {
      return deleted.error();
    }
    const Result<std::vector<monitor_live>> addressed = read_addressed_records(objects, target);
    if (!addressed) {
      return addressed.error();
    }
    for (const monitor_live& live : *addressed) {
      Status status = run_program(objects.sweep, std::array{live.address, live.inode, kLeaves},
                                  "take out a connection of a server that is followed no longer");
      if (!status) {
        return status;
      }
    }
    found = !deleted->empty() || !addressed->empty();
  }
  return Ok{};
}

}  // namespace monitor
