// SPDX-License-Identifier: Apache-2.0
// When samples are due. This is arithmetic: it reads no clock. Each sample is due a whole number of intervals after the
// start. A late sample therefore does not delay the next ones, and missed samples are not taken later.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>

namespace monitor {

using Moment = std::chrono::steady_clock::time_point;

struct Plan {
  double interval_seconds = 2;
  bool first_at_once = true;  // if false, the first is due after one interval
  std::optional<std::uint64_t> count;
  std::optional<double> duration_seconds;  // the last sample is taken at its end
};

class Schedule {
 public:
  Schedule(Moment start, const Plan& plan);

  // When the next sample is due.
  Moment due() const { return due_; }

  // A sample was taken at `now`, which is not before due().
  void taken(Moment now);

  // Whether the latest sample was the last one.
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
