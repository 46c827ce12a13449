// SPDX-License-Identifier: Apache-2.0
// The table of endpoints: the counters of a target's endpoints, and room for new ones when strangers have filled it.
#pragma once

#include <monitor/abi.h>

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "model/counters.h"
#include "session/objects.h"

namespace monitor {

// How many requests of the endpoint have ended, in any way.
std::uint64_t completed_requests(const monitor_endpoint& endpoint);

// Gives back the slots of all endpoints of a target.
Status free_endpoints(const Objects& objects, unsigned target);

// Reads the target's endpoints. An endpoint that is evicted meanwhile would be missing. So this stops the evictions
// that a full table causes, and reads again after one that a 404 causes, a few times at most: under a flood of 404s it
// returns the last reading.
Result<std::vector<EndpointCounters>> read_endpoints(const Objects& objects, unsigned target);

// When the table is nearly full, merges those endpoints of the target that never got an answer into "(not found)".
// Otherwise a client that asks for thousands of paths and leaves before the answers would fill the table for good.
Status evict_unanswered(const Objects& objects, unsigned target);

}  // namespace monitor
