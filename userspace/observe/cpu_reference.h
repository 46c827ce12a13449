// SPDX-License-Identifier: Apache-2.0
// Picks the earlier sample that CPU use is measured against. /proc counts CPU in ticks of 10 ms, so the difference to a
// sample of a few milliseconds ago (SIGINT right after a sample) would be noise.
#pragma once

#include <optional>
#include <utility>

#include "model/host_sample.h"

namespace monitor {

inline constexpr double kMinCpuSpanSeconds = 0.2;

class CpuReference {
 public:
  // The latest sample that is old enough compared with `now`, if there is one. Remembers `now`.
  const std::optional<HostSample>& before(const HostSample& now) {
    if (newest_ && now.at_seconds - newest_->at_seconds < kMinCpuSpanSeconds) {
      return reference_;
    }
    reference_ = std::exchange(newest_, now);
    return reference_;
  }

 private:
  std::optional<HostSample> reference_;
  std::optional<HostSample> newest_;
};

}  // namespace monitor
