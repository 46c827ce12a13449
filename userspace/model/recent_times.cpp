// SPDX-License-Identifier: Apache-2.0
#include "model/recent_times.h"

#include <utility>

namespace monitor {

void RecentTimes::set(std::vector<EndpointCounters>& endpoints) {
  std::map<Name, Latencies> now;
  for (EndpointCounters& endpoint : endpoints) {
    Name name{endpoint.listener, endpoint.method, endpoint.method_cut, endpoint.path, endpoint.path_cut};
    const auto before = before_.find(name);
    // An endpoint that gave up its slot and came back begins at 0 again.
    const bool goes_on = before != before_.end() && endpoint.latencies.duration.count >= before->second.duration.count;
    endpoint.recent = goes_on ? latencies_since(endpoint.latencies, before->second) : endpoint.latencies;
    now.emplace(std::move(name), endpoint.latencies);
  }
  before_ = std::move(now);
}

}  // namespace monitor
