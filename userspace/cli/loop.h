// SPDX-License-Identifier: Apache-2.0
// The loop that a run consists of: it waits for what comes first, the next sample's time, a signal, a key, the end of
// the server or of whoever reads the output, and prints samples until one of them ends it.
#pragma once

#include <functional>
#include <vector>

#include "base/result.h"
#include "cli/printer.h"
#include "cli/schedule.h"
#include "cli/signals.h"
#include "model/snapshot.h"

namespace monitor {

struct Look {
  std::vector<Snapshot> snapshots;  // one for each server
  bool server_ended = false;        // the counts are their last ones
};

// What is followed. `look` reads everything anew.
struct Followed {
  std::function<Result<Look>()> look;
  std::function<std::vector<int>()> ended_fds;  // each readable once a server has ended
};

enum class Ending { kDone, kServerEnded };

// A signal to stop, the key q and the end of a server are each followed by one more sample. A reader that has gone
// ends it without. `warn` is told of what failed without ending it.
Result<Ending> run_loop(const Followed& followed, const Signals& signals, const Plan& plan, Printer& printer,
                        const std::function<void(const Error&)>& warn);

}  // namespace monitor
