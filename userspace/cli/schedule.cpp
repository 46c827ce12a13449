// SPDX-License-Identifier: Apache-2.0
#include "cli/schedule.h"

#include <algorithm>

namespace monitor {
namespace {

std::chrono::nanoseconds from_seconds(double seconds) {
  return std::chrono::duration_cast<std::chrono::nanoseconds>(std::chrono::duration<double>(seconds));
}

}  // namespace

Schedule::Schedule(Moment start, const Plan& plan)
    : start_(start), interval_(from_seconds(plan.interval_seconds)), count_(plan.count) {
  if (plan.duration_seconds) {
    end_ = start + from_seconds(*plan.duration_seconds);
  }
  due_ = plan.first_at_once ? start : start + interval_;
  due_ = std::min(due_, end_.value_or(due_));
}

void Schedule::taken(Moment now) {
  ++samples_;
  finished_ = (count_ && samples_ >= *count_) || (end_ && now >= *end_);
  due_ = start_ + ((now - start_) / interval_ + 1) * interval_;
  due_ = std::min(due_, end_.value_or(due_));
}

}  // namespace monitor
