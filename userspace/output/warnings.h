// SPDX-License-Identifier: Apache-2.0
// What an operator should know of the figures themselves, in words. Undercount is not among it: every output has that.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// Requests under "(other)" that ended.
std::uint64_t other_requests(const Snapshot& snapshot);

// Requests under "(other)" that count there because the table of endpoints is full. Deep pipelines count there too, as
// undercount.
std::uint64_t crowded_out(const Snapshot& snapshot);

// One sentence for each, which says what helps. No bytes of others.
std::vector<std::string> warnings(const Snapshot& snapshot);

}  // namespace monitor
