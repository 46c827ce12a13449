// SPDX-License-Identifier: Apache-2.0
// Who descends from whom, worked out from one reading of every process's parent. Such a reading is no snapshot: pids
// come, go and are reused while it is made, so nothing here relies on it being a tree.
#pragma once

#include <sys/types.h>

#include <map>
#include <vector>

namespace monitor {

// Parent of each process.
using ProcessParents = std::map<pid_t, pid_t>;

// The root (first) and its descendants (sorted by pid); empty when the root is not among the processes.
std::vector<pid_t> process_tree(const ProcessParents& parents, pid_t root);

// From the parent upwards, as far as it is known.
std::vector<pid_t> ancestors(const ProcessParents& parents, pid_t pid);

}  // namespace monitor
