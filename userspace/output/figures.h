// SPDX-License-Identifier: Apache-2.0
// Conversions and rounding that every output shares.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "model/snapshot.h"

namespace monitor {

// 1 MB is 2^20 bytes.
inline double megabytes(std::uint64_t bytes) {
  return static_cast<double>(bytes) / (1024.0 * 1024.0);
}

// A value that no definition allows (negative, not a number) is shown as 0, never as "nan" or "-0.0". The cap keeps
// results finite; no machine reaches it.
inline double presentable(double value) {
  return std::isfinite(value) && value > 0 ? std::min(value, 1e15) : 0.0;
}

// Three decimals: a millisecond, a thousandth of a percent. More would be noise.
inline double rounded(double value) {
  return std::round(presentable(value) * 1000) / 1000;
}

// Six decimals, for sums of seconds: many requests take less than a millisecond.
inline double microseconds(double seconds) {
  return std::round(presentable(seconds) * 1e6) / 1e6;
}

// Saturates: a sum that wraps to 0 would claim that the figures are complete.
inline std::uint64_t undercount_sum(const std::map<std::string, std::uint64_t>& by_cause) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
  std::uint64_t sum = 0;
  for (const auto& [cause, count] : by_cause) {
    sum = count > kMost - sum ? kMost : sum + count;
  }
  return sum;
}

}  // namespace monitor
