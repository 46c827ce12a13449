// SPDX-License-Identifier: Apache-2.0
// Adds up the counters of endpoints that are shown as one.
#pragma once

#include <vector>

#include "model/counters.h"

namespace monitor {

// Adds the counts of `more` to `sum`, and its durations status by status. Leaves the peak and the name: peaks do not
// add up.
void add_endpoint(const EndpointCounters& more, EndpointCounters& sum);

// Adds histograms status by status.
void add_durations(const std::vector<Durations>& more, std::vector<Durations>& sums);

// Merges those with the same method and path, and sorts by these; each one's durations are sorted by status. The peak
// of several is the highest of theirs, and no less than what is in flight now.
std::vector<EndpointCounters> merge_endpoints(std::vector<EndpointCounters> endpoints);

}  // namespace monitor
