// SPDX-License-Identifier: Apache-2.0
// Derives ancestry from one pass over the parents of all processes. The pass is not atomic: processes start and end and
// pids are reused during it. So nothing here relies on the parents forming a tree.
#pragma once

#include <sys/types.h>

#include <map>
#include <vector>

namespace monitor {

// The parent of each process, by pid.
using ProcessParents = std::map<pid_t, pid_t>;

// The root (first) and its descendants (sorted by pid), but not the processes of `without` nor what is below these;
// empty if `parents` does not contain the root.
std::vector<pid_t> process_tree(const ProcessParents& parents, pid_t root, const std::vector<pid_t>& without = {});

// The parent, its parent and so on, up to the first process that `parents` does not contain.
std::vector<pid_t> ancestors(const ProcessParents& parents, pid_t pid);

}  // namespace monitor
