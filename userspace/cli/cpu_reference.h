// SPDX-License-Identifier: Apache-2.0
// Which earlier sample CPU use is measured against. /proc counts CPU in ticks of 10 ms: against a sample of a few
// milliseconds ago the figure would be noise, as it would be for a sample right behind another (on SIGINT).
#pragma once

#include <optional>
#include <utility>

#include "model/host_sample.h"

namespace monitor {

inline constexpr double kMinCpuSpanSeconds = 0.2;

class CpuReference {
 public:
  // The latest sample before `now` that is old enough; none when there is none yet. Remembers `now`.
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
