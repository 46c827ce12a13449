// SPDX-License-Identifier: Apache-2.0
// The wall clock, for times that a person reads.
#pragma once

#include <chrono>
#include <cstdint>

#include "base/boot_clock.h"

namespace monitor {

// Converts nanoseconds since boot to seconds since 1970 UTC.
inline double wall_seconds(std::uint64_t since_boot_ns) {
  const std::chrono::duration<double> now = std::chrono::system_clock::now().time_since_epoch();
  return now.count() - to_seconds(nanoseconds_since_boot() - since_boot_ns);
}

}  // namespace monitor
