// SPDX-License-Identifier: Apache-2.0
// Histograms of times, and the percentiles that follow from them.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

namespace monitor {

// How long requests waited or took. Bucket i holds those longer than bound i-1 and up to bound i (latency_bound).
struct Latency {
  std::uint64_t count = 0;  // the sum over the buckets
  double sum_seconds = 0;
  double max_seconds = 0;                                        // since counting began; 0: none took over 100 us
  std::vector<std::pair<std::uint16_t, std::uint64_t>> buckets;  // those that are not 0, by ascending index
};

// Number of bounds; the bucket with this index has none.
std::size_t latency_bounds();

// Bound `index` in seconds, from 0.0001 to 3600; each is at most 10% above the one before.
double latency_bound(std::size_t index);

// The times of requests that ended and whose begin was seen.
struct Latencies {
  Latency queue_wait;  // of those whose arrival was seen: from the arrival of the first byte to the begin
  Latency first_byte;  // of those that were answered: from the begin to the first byte of the final response
  Latency duration;    // from the begin to the end
};

// The times of both.
void add_latency(const Latency& more, Latency& sum);

void add_latencies(const Latencies& more, Latencies& sum);

// Those of `later` that are not in `earlier`, which is an earlier state of the same histogram. The maximum stays that
// of `later` if it is in a bucket that has grown, and is the bound of the highest such bucket otherwise.
Latency latency_since(const Latency& later, const Latency& earlier);

Latencies latencies_since(const Latencies& later, const Latencies& earlier);

// The time that the fraction `quantile` (0..1) of the requests did not exceed: the nearest rank, within 5% if it is
// between 100 us and 1 h. nullopt if there are no requests.
std::optional<double> latency_quantile(const Latency& latency, double quantile);

// The longest time, in seconds. Of those up to 100 us only that bound is known. 0 if there are no requests.
double longest_of(const Latency& latency);

// How many took at most this many seconds; exact if it is a bound.
std::uint64_t latency_up_to(const Latency& latency, double seconds);

}  // namespace monitor
