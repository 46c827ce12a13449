// SPDX-License-Identifier: Apache-2.0
// Names servers, and merges the endpoints that have the same labels.
#include "output/series.h"

#include <algorithm>
#include <array>
#include <map>
#include <string_view>
#include <tuple>
#include <utility>

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

void add(const Durations& more, Durations& sum) {
  sum.sum_seconds += more.sum_seconds;
  for (std::size_t i = 0; i < sum.buckets.size(); ++i) {
    sum.buckets.at(i) += more.buckets.at(i);
  }
}

}  // namespace

void add_durations(const std::vector<Durations>& more, std::vector<Durations>& sums) {
  for (const Durations& durations : more) {
    const std::string label = status_label(durations);
    const auto found =
        std::find_if(sums.begin(), sums.end(), [&](const Durations& sum) { return status_label(sum) == label; });
    if (found == sums.end()) {
      sums.push_back(durations);
    } else {
      add(durations, *found);
    }
  }
}

void add_counters(const EndpointCounters& more, EndpointCounters& sum) {
  sum.active += more.active;
  sum.completed += more.completed;
  sum.failed += more.failed;
  sum.aborted += more.aborted;
  sum.websockets += more.websockets;
  for (std::size_t i = 0; i < sum.status.size(); ++i) {
    sum.status.at(i) += more.status.at(i);
  }
  add_durations(more.durations, sum.durations);
}

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
    add_counters(endpoint, sum.counters);
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
