// SPDX-License-Identifier: Apache-2.0
// CLOCK_BOOTTIME: time since the machine booted, including suspend. The kernel dates process starts by the same clock.
#pragma once

#include <cmath>
#include <cstdint>
#include <ctime>

namespace monitor {

inline constexpr double kNanosecond = 1e-9;

inline std::uint64_t nanoseconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<std::uint64_t>(now.tv_sec) * 1000000000 + static_cast<std::uint64_t>(now.tv_nsec);
}

inline double seconds_since_boot() {
  return static_cast<double>(nanoseconds_since_boot()) * kNanosecond;
}

inline std::uint64_t to_nanoseconds(double seconds) {
  return seconds > 0 ? static_cast<std::uint64_t>(std::llround(seconds / kNanosecond)) : 0;
}

inline double to_seconds(std::uint64_t nanoseconds) {
  return static_cast<double>(nanoseconds) * kNanosecond;
}

}  // namespace monitor
