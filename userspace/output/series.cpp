// SPDX-License-Identifier: Apache-2.0
#include "output/series.h"

#include <algorithm>
#include <array>
#include <string_view>
#include <tuple>
#include <utility>

#include "output/endpoints.h"
#include "output/text.h"

namespace monitor {
namespace {

constexpr const char* kOther = "_OTHER";

// https://opentelemetry.io/docs/specs/semconv/http/http-spans/: methods of RFC 9110, PATCH (RFC 5789) and QUERY. What
// else a client makes up must not make series.
std::string known_method(const EndpointCounters& endpoint) {
  constexpr std::array<std::string_view, 10> kKnown = {"CONNECT", "DELETE", "GET",   "HEAD", "OPTIONS",
                                                       "PATCH",   "POST",   "QUERY", "PUT",  "TRACE"};
  const bool known = !endpoint.method_cut && std::find(kKnown.begin(), kKnown.end(), endpoint.method) != kKnown.end();
  return known ? endpoint.method : kOther;
}

std::string status_label(const Durations& durations) {
  if (durations.other) {
    return kOther;
  }
  return durations.status ? std::to_string(*durations.status) : "";
}

void add(const Durations& more, Durations& sum) {
  sum.sum_seconds += more.sum_seconds;
  for (std::size_t i = 0; i < sum.buckets.size(); ++i) {
    sum.buckets.at(i) += more.buckets.at(i);
  }
}

}  // namespace

std::vector<std::string> target_names(const std::vector<Snapshot>& snapshots) {
  std::vector<std::string> names;
  std::map<std::string, unsigned> times;
  for (const Snapshot& snapshot : snapshots) {
    names.push_back(snapshot.listen.empty() ? "pid:" + std::to_string(snapshot.pid)
                                            : escape_text(snapshot.listen.front()));
    ++times[names.back()];
  }
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (times[names[i]] > 1) {
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
    sum.active += endpoint.active;
    sum.completed += endpoint.completed;
    sum.failed += endpoint.failed;
    sum.aborted += endpoint.aborted;
    sum.websockets += endpoint.websockets;
    for (const Durations& durations : endpoint.durations) {
      add(durations, sum.durations[status_label(durations)]);
    }
  }
  std::vector<EndpointSeries> list;
  list.reserve(series.size());
  for (auto& [key, sum] : series) {
    list.push_back(std::move(sum));
  }
  return list;
}

}  // namespace monitor
