// SPDX-License-Identifier: Apache-2.0
#include "model/latency.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <utility>

namespace monitor {
namespace {

// The bounds within each power of ten from 0.1 ms on. A test compares them with those of the kernel side.
constexpr std::array<double, 28> kSteps = {1.00, 1.10, 1.20, 1.30, 1.40, 1.50, 1.65, 1.80, 1.95, 2.10,
                                           2.30, 2.50, 2.75, 3.00, 3.30, 3.60, 3.90, 4.20, 4.60, 5.00,
                                           5.50, 6.00, 6.50, 7.00, 7.50, 8.00, 8.70, 9.40};
constexpr std::size_t kBounds = 7 * kSteps.size() + 16;  // up to 3600 s

// The best estimate of a time in this bucket: the relative error is the same at both ends.
double middle_of(std::size_t bucket, double max_seconds) {
  if (bucket == 0) {
    return latency_bound(0);
  }
  if (bucket == kBounds) {
    return std::max(max_seconds, latency_bound(kBounds - 1));
  }
  return std::sqrt(latency_bound(bucket - 1) * latency_bound(bucket));
}

}  // namespace

std::size_t latency_bounds() {
  return kBounds;
}

double latency_bound(std::size_t index) {
  constexpr std::array<double, 8> kDecades = {1e-4, 1e-3, 1e-2, 1e-1, 1, 1e1, 1e2, 1e3};
  return kSteps.at(index % kSteps.size()) * kDecades.at(index / kSteps.size());
}

void add_latency(const Latency& more, Latency& sum) {
  std::vector<std::pair<std::uint16_t, std::uint64_t>> merged;
  merged.reserve(more.buckets.size() + sum.buckets.size());
  auto left = sum.buckets.cbegin();
  for (const auto& [bucket, count] : more.buckets) {
    for (; left != sum.buckets.cend() && left->first < bucket; ++left) {
      merged.push_back(*left);
    }
    const bool same = left != sum.buckets.cend() && left->first == bucket;
    merged.emplace_back(bucket, count + (same ? left->second : 0));
    left += same ? 1 : 0;
  }
  merged.insert(merged.end(), left, sum.buckets.cend());
  sum.buckets = std::move(merged);
  sum.count += more.count;
  sum.sum_seconds += more.sum_seconds;
  sum.max_seconds = std::max(sum.max_seconds, more.max_seconds);
}

void add_latencies(const Latencies& more, Latencies& sum) {
  add_latency(more.queue_wait, sum.queue_wait);
  add_latency(more.first_byte, sum.first_byte);
  add_latency(more.duration, sum.duration);
}

Latency latency_since(const Latency& later, const Latency& earlier) {
  Latency grown;
  auto before = earlier.buckets.cbegin();
  for (const auto& [bucket, count] : later.buckets) {
    while (before != earlier.buckets.cend() && before->first < bucket) {
      ++before;
    }
    const std::uint64_t known = before != earlier.buckets.cend() && before->first == bucket ? before->second : 0;
    if (count > known) {
      grown.buckets.emplace_back(bucket, count - known);
      grown.count += count - known;
    }
  }
  grown.sum_seconds = std::max(0.0, later.sum_seconds - earlier.sum_seconds);
  if (!grown.buckets.empty() && grown.buckets.back().first > 0) {
    const std::size_t highest = grown.buckets.back().first;
    const double bound = highest < kBounds ? latency_bound(highest) : later.max_seconds;
    grown.max_seconds = std::min(later.max_seconds, bound);
  }
  return grown;
}

Latencies latencies_since(const Latencies& later, const Latencies& earlier) {
  return {latency_since(later.queue_wait, earlier.queue_wait), latency_since(later.first_byte, earlier.first_byte),
          latency_since(later.duration, earlier.duration)};
}

std::optional<double> latency_quantile(const Latency& latency, double quantile) {
  if (latency.count == 0) {
    return std::nullopt;
  }
  const auto rank =
      std::max<std::uint64_t>(1, static_cast<std::uint64_t>(std::ceil(quantile * static_cast<double>(latency.count))));
  std::uint64_t seen = 0;
  for (const auto& [bucket, count] : latency.buckets) {
    seen += count;
    if (seen >= rank) {
      const double middle = middle_of(bucket, latency.max_seconds);
      return latency.max_seconds > 0 ? std::min(middle, std::max(latency.max_seconds, latency_bound(0))) : middle;
    }
  }
  return latency.max_seconds;
}

double longest_of(const Latency& latency) {
  if (latency.count == 0) {
    return 0;
  }
  return latency.max_seconds > 0 ? latency.max_seconds : latency_bound(0);
}

std::uint64_t latency_up_to(const Latency& latency, double seconds) {
  constexpr double kRounding = 1 + 1e-9;  // of the product that a bound is
  std::uint64_t sum = 0;
  for (const auto& [bucket, count] : latency.buckets) {
    if (bucket < kBounds && latency_bound(bucket) <= seconds * kRounding) {
      sum += count;
    }
  }
  return sum;
}

}  // namespace monitor
