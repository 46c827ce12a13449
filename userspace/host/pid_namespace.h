// SPDX-License-Identifier: Apache-2.0
// The kernel side knows processes by the pids of the host. Whoever runs in a pid namespace below it, such as a
// container's, sees other numbers for them, or other processes by these numbers.
#pragma once

#include "base/result.h"
#include "host/procfs.h"

namespace monitor {

// Whether this process and its /proc see the pids of the host. Else kUnsupported.
Status check_pid_namespace(const ProcFs& proc);

}  // namespace monitor
