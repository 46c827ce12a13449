// SPDX-License-Identifier: Apache-2.0
// The table of listeners: making those that a target's sockets show, and their counters. Private to session/.
#pragma once

#include <monitor/abi.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/listeners.h"
#include "session/objects.h"
#include "session/sockets.h"

namespace monitor {

struct KnownListener {
  std::uint32_t slot = 0;
  monitor_listener counted{};
};

// The listeners of a target, by number.
Result<std::vector<KnownListener>> known_listeners(const Objects& objects, unsigned target);

// Makes the target's unknown listener, and returns its slot.
Result<std::uint32_t> make_unknown_listener(const Objects& objects, unsigned target);

// Makes the listeners that the target's processes listen on. Those that exist stay; there may be no room for some.
Status make_listeners(const Objects& objects, unsigned target, const std::vector<ListedSocket>& sockets);

// Records what each of the target's listeners is for and which one names the server, where that has changed.
Status judge_known(const Objects& objects, unsigned target, const SocketsSample& sample, const ListenerHints& hints);

// Gives back the slots of a target's listeners. Their special endpoints are freed with the other endpoints.
Status free_listeners(const Objects& objects, unsigned target);

// The counters for the Snapshot. A Unix socket has no address here: only its listening socket knows its name.
std::vector<ListenerCounters> listener_counters(const std::vector<KnownListener>& known);

}  // namespace monitor
