// SPDX-License-Identifier: Apache-2.0
// Both functions remember the pids that they have visited, so that a cycle (from a pid reused during the pass over
// /proc) ends.
#include "host/process_tree.h"

#include <algorithm>
#include <set>

namespace monitor {

std::vector<pid_t> process_tree(const ProcessParents& parents, pid_t root, const std::vector<pid_t>& without) {
  if (parents.find(root) == parents.end()) {
    return {};
  }
  std::multimap<pid_t, pid_t> children;
  for (const auto& [pid, parent] : parents) {
    children.emplace(parent, pid);
  }
  std::set<pid_t> seen(without.begin(), without.end());
  seen.insert(root);
  std::vector<pid_t> tree{root};
  for (std::size_t next = 0; next < tree.size(); ++next) {
    const auto [first, last] = children.equal_range(tree[next]);
    for (auto child = first; child != last; ++child) {
      if (seen.insert(child->second).second) {
        tree.push_back(child->second);
      }
    }
  }
  std::sort(tree.begin() + 1, tree.end());
  return tree;
}

std::vector<pid_t> ancestors(const ProcessParents& parents, pid_t pid) {
  std::vector<pid_t> found;
  std::set<pid_t> seen{pid};
  for (auto at = parents.find(pid); at != parents.end(); at = parents.find(at->second)) {
    if (!seen.insert(at->second).second) {
      break;
    }
    found.push_back(at->second);
  }
  return found;
}

}  // namespace monitor
