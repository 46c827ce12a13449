// SPDX-License-Identifier: Apache-2.0
// What the box and the log show of endpoints: paths with requests in flight, most first.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// An endpoint's path, safe to show. Beyond display_path, it escapes blanks and a parenthesis at the start of a
// stranger's path, so that no path can forge "(other)" or a second field of a log line.
std::string endpoint_path(const EndpointCounters& endpoint, bool ascii_only = false);

struct ActivePath {
  std::string path;  // as shown
  std::uint64_t active = 0;
};

// Paths with requests in flight, summed over methods: most in flight first, then by path.
std::vector<ActivePath> active_paths(const Snapshot& snapshot, bool ascii_only = false);

}  // namespace monitor
