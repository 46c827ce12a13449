// SPDX-License-Identifier: Apache-2.0
// The loop of the view. It prints samples when they are due, until a signal, a key, the schedule, or the end of the
// servers or of the output's reader ends it.
#pragma once

#include <functional>
#include <vector>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/signals.h"
#include "cli/schedule.h"
#include "model/sample.h"
#include "sinks/sink.h"

namespace monitor {

// What the loop observes.
struct Observed {
  std::function<Result<Sample>()> sample;
  std::function<std::vector<int>()> ended_fds;  // each becomes readable once a server has ended
};

enum class Ending { kDone, kServerEnded };

using Warn = std::function<void(const Error&)>;

// After a signal to stop, the key q or the end of a server the loop takes one more sample. If the output's reader
// is gone, it ends without one. It calls `warn` for failures that do not end it.
Result<Ending> run_view_loop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan,
                             Sink& sink, const Warn& warn);

}  // namespace monitor
