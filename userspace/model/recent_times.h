// SPDX-License-Identifier: Apache-2.0
// Remembers the times of the previous sample, so that the next one has those since then.
#pragma once

#include <map>
#include <string>
#include <tuple>
#include <vector>

#include "model/counters.h"

namespace monitor {

class RecentTimes {
 public:
  // Sets `recent` of each endpoint from its `latencies` and those of the previous call.
  void set(std::vector<EndpointCounters>& endpoints);

 private:
  using Name = std::tuple<unsigned, std::string, bool, std::string, bool>;  // listener, method, cut, path, cut

  std::map<Name, Latencies> before_;
};

}  // namespace monitor
