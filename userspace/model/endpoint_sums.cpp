// SPDX-License-Identifier: Apache-2.0
#include "model/endpoint_sums.h"

#include <algorithm>
#include <tuple>
#include <utility>

namespace monitor {
namespace {

void add_histogram(const Durations& more, std::vector<Durations>& sums) {
  const auto found = std::find_if(sums.begin(), sums.end(), [&more](const Durations& sum) {
    return sum.other == more.other && sum.status == more.status;
  });
  if (found == sums.end()) {
    sums.push_back(more);
    return;
  }
  found->sum_seconds += more.sum_seconds;
  for (std::size_t i = 0; i < found->buckets.size(); ++i) {
    found->buckets.at(i) += more.buckets.at(i);
  }
}

auto name_of(const EndpointCounters& endpoint) {
  return std::tie(endpoint.method, endpoint.method_cut, endpoint.path, endpoint.path_cut);
}

}  // namespace

void add_durations(const std::vector<Durations>& more, std::vector<Durations>& sums) {
  for (const Durations& durations : more) {
    add_histogram(durations, sums);
  }
}

void add_endpoint(const EndpointCounters& more, EndpointCounters& sum) {
  sum.active += more.active;
  sum.completed += more.completed;
  sum.failed += more.failed;
  sum.aborted += more.aborted;
  sum.websockets += more.websockets;
  for (std::size_t i = 0; i < sum.status.size(); ++i) {
    sum.status.at(i) += more.status.at(i);
  }
  add_durations(more.durations, sum.durations);
  add_latencies(more.latencies, sum.latencies);
  add_latencies(more.recent, sum.recent);
}

std::vector<EndpointCounters> merge_endpoints(std::vector<EndpointCounters> endpoints) {
  std::sort(endpoints.begin(), endpoints.end(),
            [](const EndpointCounters& left, const EndpointCounters& right) { return name_of(left) < name_of(right); });
  std::vector<EndpointCounters> merged;
  merged.reserve(endpoints.size());
  for (EndpointCounters& endpoint : endpoints) {
    if (merged.empty() || name_of(merged.back()) != name_of(endpoint)) {
      merged.push_back(std::move(endpoint));
      continue;
    }
    EndpointCounters& sum = merged.back();
    add_endpoint(endpoint, sum);
    sum.peak = std::max({sum.peak, endpoint.peak, sum.active});
  }
  for (EndpointCounters& endpoint : merged) {
    std::sort(endpoint.durations.begin(), endpoint.durations.end(), [](const Durations& left, const Durations& right) {
      return std::tie(left.other, left.status) < std::tie(right.other, right.status);
    });
  }
  return merged;
}

}  // namespace monitor
