// SPDX-License-Identifier: Apache-2.0
#include "output/percentiles.h"

#include <fmt/format.h>

namespace monitor {
namespace {

constexpr std::uint64_t kFew = 20;

std::string milliseconds(double seconds) {
  const double ms = seconds * 1000;
  if (ms <= 0.1) {
    return "<0.1";
  }
  return ms < 100 ? fmt::format("{:.{}f}", ms, ms < 10 ? 2 : 1) : fmt::format("{:.0f}", ms);
}

}  // namespace

std::string percentiles_text(const Latency& latency) {
  if (latency.count == 0) {
    return "none";
  }
  if (latency.count < kFew) {
    return fmt::format("n<{}, max {} ms", kFew, milliseconds(longest_of(latency)));
  }
  return fmt::format("{}/{}/{} ms (n {})", milliseconds(latency_quantile(latency, 0.5).value_or(0)),
                     milliseconds(latency_quantile(latency, 0.95).value_or(0)),
                     milliseconds(latency_quantile(latency, 0.99).value_or(0)), latency.count);
}

}  // namespace monitor
