// SPDX-License-Identifier: Apache-2.0
// The kernel side identifies processes by their pids on the host. A process in another pid namespace, such as a
// container's, sees different pids for them, or different processes under these pids.
#pragma once

#include "base/result.h"
#include "host/procfs.h"

namespace monitor {

// Fails with kUnsupported unless this process and its /proc see the pids of the host.
Status check_pid_namespace(const ProcFs& proc);

}  // namespace monitor
