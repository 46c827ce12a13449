// SPDX-License-Identifier: Apache-2.0
// The figures of a server by listener. Private to model/.
#pragma once

#include <vector>

#include "model/snapshot.h"

namespace monitor {

// One for each listener that the sockets or the counters know, sorted by address. Requests from before the attach on a
// listener that has not shown HTTP are left out.
std::vector<ListenerSnapshot> list_listeners(const Counters& counters, const SocketsSample& sockets);

// Fills in the sums over those of the snapshot's listeners that are not apart.
void add_listener_sums(Snapshot& snapshot);

}  // namespace monitor
