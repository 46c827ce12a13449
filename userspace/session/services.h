// SPDX-License-Identifier: Apache-2.0
// The addresses that targets serve: the entries of the map `services`, by which the kernel side recognizes the process
// that takes the place of a root that has ended.
#pragma once

#include "base/result.h"
#include "session/objects.h"
#include "session/sockets.h"

namespace monitor {

// Writes the TCP addresses on which the target's root listens, or if it does not listen itself, those of its other
// processes. If it finds no address, or the root has ended, it keeps the earlier ones.
Status note_services(const Objects& objects, unsigned target, const SocketList& list);

// Deletes the target's entries.
Status forget_services(const Objects& objects, unsigned target);

// Stops the search for processes that take over, if every target has a living root.
Status settle_orphans(const Objects& objects);

}  // namespace monitor
