// SPDX-License-Identifier: Apache-2.0
// Reading the records of connections, and sweeping those by address whose sockets have gone: a Unix socket's close
// makes no event of its own, and one of TCP's may be lost.
#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <array>
#include <cstring>

#include "session/engine_state.h"
#include "session/iterator.h"
#include "session/run_program.h"

namespace monitor {
namespace {

Result<std::vector<monitor_live>> read_map(const bpf_program* program, const bpf_map* map, unsigned target) {
  std::vector<monitor_live> found;
  if (bpf_program__fd(program) < 0) {
    return found;  // the profile keeps none there
  }
  bpf_iter_link_info info{};
  info.map.map_fd = static_cast<std::uint32_t>(bpf_map__fd(map));
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

Result<std::vector<monitor_live>> read_records(engine_bpf& bpf, unsigned target) {
  return read_map(bpf.progs.look_at_connections, bpf.maps.connections, target);
}

Result<std::vector<monitor_live>> read_addressed_records(engine_bpf& bpf, unsigned target) {
  return read_map(bpf.progs.look_at_addressed, bpf.maps.addressed_connections, target);
}

Status sweep(engine_bpf& bpf, TargetState& state, const std::vector<monitor_live>& records,
             const std::set<SocketIdentity>& open) {
  std::set<SocketIdentity> gone;
  for (const monitor_live& live : records) {
    const SocketIdentity socket{live.address, live.inode};
    if (open.contains(socket)) {
      continue;
    }
    const std::uint64_t again = state.swept.contains(socket) ? 1 : 0;
    Status status = run_program(bpf.progs.sweep, std::array{live.address, live.inode, again},
                                "take out a connection that has closed");
    if (!status) {
      return status;
    }
    gone.insert(socket);
  }
  state.swept = std::move(gone);
  return Ok{};
}

}  // namespace monitor
