// SPDX-License-Identifier: Apache-2.0
// The records of a target's connections: read, and deleted when their sockets or their target have gone.
#pragma once

#include <monitor/abi.h>

#include <cstdint>
#include <set>
#include <utility>
#include <vector>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// Address and inode: together they distinguish a socket from all others, past and present.
using SocketIdentity = std::pair<std::uint64_t, std::uint64_t>;

// The records in the sockets' own storage. All of them are of open connections.
Result<std::vector<monitor_live>> read_records(const Objects& objects, unsigned target);

// The records by address, of open and of closed connections.
Result<std::vector<monitor_live>> read_addressed_records(const Objects& objects, unsigned target);

// Closes the connections of those `records` (by address) whose socket is not in `open`. The records were read before
// the sockets were listed. The kernel side deletes a record once it has had no socket for a while: the close of a Unix
// socket causes no event of its own, and the event of a TCP close can be lost.
Status sweep(const Objects& objects, const std::vector<monitor_live>& records, const std::set<SocketIdentity>& open);

// Deletes the records of these sockets, which only processes hold that are no longer followed.
Status disown_sockets(const Objects& objects, unsigned target, const std::set<SocketIdentity>& sockets);

// Deletes all records of a target whose processes are no longer followed.
Status disown_records(const Objects& objects, unsigned target);

}  // namespace monitor
