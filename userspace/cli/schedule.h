// SPDX-License-Identifier: Apache-2.0
// When samples are due: arithmetic only, no clock is read. A sample's time is the start plus a whole number of
// intervals, so that being late once does not shift those behind it, and what was missed is not made up for.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace monitor {

using Moment = std::chrono::steady_clock::time_point;

struct Plan {
  double interval_seconds = 2;
  bool first_at_once = true;  // else the first is due after one interval
  std::optional<std::uint64_t> count;
  std::optional<double> duration_seconds;  // the last sample is taken when it is over
};

class Schedule {
 public:
  Schedule(Moment start, const Plan& plan);

  // When the next sample is due.
  Moment due() const { return due_; }

  // A sample was taken at `now`, which is not before due().
  void taken(Moment now);

  // Whether the sample taken last was the last one.
  bool finished() const { return finished_; }

 private:
  Moment start_;
  std::chrono::nanoseconds interval_;
  std::optional<Moment> end_;
  std::optional<std::uint64_t> count_;
  std::uint64_t samples_ = 0;
  Moment due_;
  bool finished_ = false;
};

}  // namespace monitor
