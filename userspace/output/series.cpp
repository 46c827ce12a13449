// SPDX-License-Identifier: Apache-2.0
// Names servers, and merges the endpoints that have the same labels.
#include "output/series.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

#include "model/endpoint_sums.h"
#include "output/endpoints.h"
#include "output/text.h"

namespace monitor {
namespace {

constexpr const char* kOther = "_OTHER";

// https://opentelemetry.io/docs/specs/semconv/http/http-spans/: methods of RFC 9110, PATCH (RFC 5789) and QUERY. A
// method that a client makes up must not create a series.
std::string known_method(const EndpointCounters& endpoint) {
  constexpr std::array<std::string_view, 10> kKnown = {"CONNECT", "DELETE", "GET",   "HEAD", "OPTIONS",
                                                       "PATCH",   "POST",   "QUERY", "PUT",  "TRACE"};
  const bool known = !endpoint.method_cut && std::find(kKnown.begin(), kKnown.end(), endpoint.method) != kKnown.end();
  return known ? endpoint.method : kOther;
}

}  // namespace

void sort_durations(std::vector<Durations>& durations) {
  std::sort(durations.begin(), durations.end(),
            [](const Durations& left, const Durations& right) { return status_label(left) < status_label(right); });
}

std::string status_label(const Durations& durations) {
  if (durations.other) {
    return kOther;
  }
  return durations.status ? std::to_string(*durations.status) : "";
}

std::vector<std::string> target_names(const std::vector<Snapshot>& snapshots) {
  std::vector<std::string> names;
  std::map<std::pair<std::string, std::string>, unsigned> times;
  for (const Snapshot& snapshot : snapshots) {
    const std::string& address =
        snapshot.address.empty() && !snapshot.listen.empty() ? snapshot.listen.front() : snapshot.address;
    names.push_back(address.empty() ? "pid:" + std::to_string(snapshot.pid) : escape_text(address));
    ++times[{names.back(), snapshot.listener}];
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (times[{names[i], snapshots[i].listener}] > 1) {
      names[i] += "#" + std::to_string(snapshots[i].pid);
    }
  }
  return names;
}

std::vector<EndpointSeries> endpoint_series(const Snapshot& snapshot) {
  std::map<std::pair<std::string, std::string>, EndpointSeries> series;
  for (const EndpointCounters& endpoint : snapshot.endpoints) {
    std::pair<std::string, std::string> key{known_method(endpoint), endpoint_path(endpoint)};
    EndpointSeries& sum = series[key];
    std::tie(sum.method, sum.endpoint) = std::move(key);
    add_endpoint(endpoint, sum.counters);
  }
  std::vector<EndpointSeries> list;
  list.reserve(series.size());
  for (auto& [key, sum] : series) {
    sort_durations(sum.counters.durations);
    list.push_back(std::move(sum));
  }
  return list;
}

}  // namespace monitor
