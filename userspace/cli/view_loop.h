// SPDX-License-Identifier: Apache-2.0
// The loop of the view: waits for what comes first (the time of the next sample, a signal, a key, the end of a server
// or of the output's reader) and prints samples until one of these ends it.
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

// After a signal to stop, the key q or the end of a server the loop takes one more sample. When the output's reader has
// gone, it ends without one. It calls `warn` for failures that do not end it.
Result<Ending> run_view_loop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan,
                             Sink& sink, const Warn& warn);

}  // namespace monitor
