// SPDX-License-Identifier: Apache-2.0
// The addresses that targets serve: the entries of the map `services`, by which the kernel side recognizes the process
// that takes the place of a root that has ended.
#pragma once

#include "base/result.h"
#include "session/objects.h"
#include "session/sockets.h"

namespace monitor {

// Writes the address of the listener that names the target. Its other listeners can be of a kind that another server
// has, too: a debugger's port, or the control socket that all gunicorns of a user take from each other. While it does
// not listen, or once the root has ended, the earlier one stays.
Status note_services(const Objects& objects, unsigned target, const SocketList& list);

// Deletes the target's entries.
Status forget_services(const Objects& objects, unsigned target);

// Stops the search for processes that take over, if every target has a living root.
Status settle_orphans(const Objects& objects);

}  // namespace monitor
