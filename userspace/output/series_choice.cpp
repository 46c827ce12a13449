// SPDX-License-Identifier: Apache-2.0
#include "output/series_choice.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "model/endpoint_sums.h"

namespace monitor {
namespace {

constexpr const char* kOtherMethod = "_OTHER";
constexpr const char* kOtherEndpoint = "(other)";

bool is_special(const EndpointSeries& series) {
  return series.endpoint.starts_with('(');  // a path that begins so is escaped
}

// Sums over all buckets: requests.
std::uint64_t requests(const Durations& durations) {
  return std::accumulate(durations.buckets.begin(), durations.buckets.end(), std::uint64_t{0});
}

// An endpoint whose slot the kernel side gave away and that came back begins at 0 again.
bool has_grown(const std::vector<Durations>& now, const std::vector<Durations>& before) {
  return std::all_of(before.begin(), before.end(), [&](const Durations& was) {
    const auto same = std::find_if(now.begin(), now.end(),
                                   [&](const Durations& is) { return status_label(is) == status_label(was); });
    return same != now.end() && requests(*same) >= requests(was);
  });
}

std::vector<Durations> difference(std::vector<Durations> now, const std::vector<Durations>& before) {
  for (Durations& is : now) {
    for (const Durations& was : before) {
      if (status_label(is) != status_label(was)) {
        continue;
      }
      is.sum_seconds -= was.sum_seconds;
      std::transform(is.buckets.begin(), is.buckets.end(), was.buckets.begin(), is.buckets.begin(),
                     [](std::uint64_t more, std::uint64_t less) { return more > less ? more - less : 0; });
    }
  }
  return now;
}

// At least what an earlier scrape had. An endpoint that was left out can turn out to have only 404s; the kernel side
// then moves its counts from here to "(not found)".
void raise(std::vector<Durations>& now, const std::vector<Durations>& before) {
  for (const Durations& was : before) {
    const auto same = std::find_if(now.begin(), now.end(),
                                   [&](const Durations& is) { return status_label(is) == status_label(was); });
    if (same == now.end()) {
      now.push_back(was);
      continue;
    }
    same->sum_seconds = std::max(same->sum_seconds, was.sum_seconds);
    std::transform(same->buckets.begin(), same->buckets.end(), was.buckets.begin(), same->buckets.begin(),
                   [](std::uint64_t is, std::uint64_t least) { return std::max(is, least); });
  }
}

void raise(Latency& now, const Latency& before) {
  Latency missing = latency_since(before, now);  // bucket by bucket
  missing.max_seconds = before.max_seconds;
  const double sum = std::max(now.sum_seconds, before.sum_seconds);
  add_latency(missing, now);
  now.sum_seconds = sum;
}

void raise(Latencies& now, const Latencies& before) {
  raise(now.queue_wait, before.queue_wait);
  raise(now.first_byte, before.first_byte);
  raise(now.duration, before.duration);
}

}  // namespace

ChosenSeries SeriesChoice::split(std::vector<EndpointSeries> all, const std::set<Key>& chosen, Earlier& earlier) {
  ChosenSeries result;
  EndpointSeries other{kOtherMethod, kOtherEndpoint, {}};
  std::map<Key, Times> shown;
  std::set<Key> left_out;
  bool has_other = !earlier.other.durations.empty();
  for (EndpointSeries& series : all) {
    Key key{series.method, series.endpoint};
    if (series.endpoint == kOtherEndpoint) {
      add_endpoint(series.counters, other.counters);
      has_other = true;
    } else if (is_special(series)) {
      result.series.push_back(std::move(series));
    } else if (!chosen.contains(key)) {
      add_endpoint(series.counters, other.counters);
      left_out.insert(std::move(key));
      has_other = true;
    } else {
      Times before;
      if (const auto known = earlier.shown.find(key); known != earlier.shown.end()) {
        before = std::move(known->second);
      } else if (earlier.left_out.contains(key)) {
        before = {series.counters.durations, series.counters.latencies};
      }
      if (!has_grown(series.counters.durations, before.durations)) {
        before = {};
      }
      add_durations(before.durations, other.counters.durations);
      add_latencies(before.latencies, other.counters.latencies);
      series.counters.durations = difference(std::move(series.counters.durations), before.durations);
      series.counters.latencies = latencies_since(series.counters.latencies, before.latencies);
      shown.emplace(std::move(key), std::move(before));
      result.series.push_back(std::move(series));
    }
  }
  if (has_other) {
    raise(other.counters.durations, earlier.other.durations);
    raise(other.counters.latencies, earlier.other.latencies);
    sort_durations(other.counters.durations);
    // "(other)" only has to outlive a scrape in which something was left out.
    if (!left_out.empty() || !earlier.other.durations.empty()) {
      earlier.other = {other.counters.durations, other.counters.latencies};
    }
    result.series.push_back(std::move(other));
  }
  std::sort(result.series.begin(), result.series.end(), [](const EndpointSeries& left, const EndpointSeries& right) {
    return std::tie(left.method, left.endpoint) < std::tie(right.method, right.endpoint);
  });
  result.left_out = left_out.size();
  earlier.shown = std::move(shown);
  earlier.left_out = std::move(left_out);
  return result;
}

std::vector<ChosenSeries> SeriesChoice::choose(const std::vector<Snapshot>& snapshots,
                                               const std::vector<std::string>& names, std::size_t taken, Cost cost) {
  struct Candidate {
    std::size_t server;
    Key key;
    std::uint64_t weight;
    std::size_t bytes;
  };
  std::map<std::string, Earlier> earlier;
  std::vector<std::string> servers;
  std::vector<std::vector<EndpointSeries>> all;
  std::vector<Candidate> candidates;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    servers.push_back(names[i] + "#" + std::to_string(snapshots[i].pid));
    Earlier& known = earlier[servers.back()] = std::move(earlier_[servers.back()]);
    all.push_back(endpoint_series(snapshots[i]));
    EndpointSeries sum{kOtherMethod, kOtherEndpoint, {}};
    for (const EndpointSeries& series : all.back()) {
      add_endpoint(series.counters, sum.counters);
      if (is_special(series)) {
        taken += cost(names[i], series);
        continue;
      }
      Key key{series.method, series.endpoint};
      const bool was_shown = known.shown.contains(key);
      const std::uint64_t weight = (series.counters.completed + series.counters.active) * (was_shown ? 2 : 1);
      candidates.push_back({i, std::move(key), weight, cost(names[i], series)});
    }
    taken += cost(names[i], sum);  // "(other)" may get every status
  }
  std::sort(candidates.begin(), candidates.end(), [](const Candidate& left, const Candidate& right) {
    return std::tie(right.weight, left.server, left.key) < std::tie(left.weight, right.server, right.key);
  });
  std::vector<std::set<Key>> chosen(snapshots.size());
  for (Candidate& candidate : candidates) {
    if (taken + candidate.bytes <= limit_) {
      taken += candidate.bytes;
      chosen[candidate.server].insert(std::move(candidate.key));
    }
  }
  std::vector<ChosenSeries> result;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    result.push_back(split(std::move(all[i]), chosen[i], earlier[servers[i]]));
  }
  earlier_ = std::move(earlier);  // without servers that have ended
  return result;
}

}  // namespace monitor
