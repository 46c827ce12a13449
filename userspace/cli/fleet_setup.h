// SPDX-License-Identifier: Apache-2.0
// What the commands that observe servers (the view and `serve`) have in common.
#pragma once

#include <sys/types.h>

#include "base/event_loop.h"
#include "observe/fleet.h"
#include "observe/options.h"
#include "sinks/reporter.h"

namespace monitor {

// Notices for the operator. They report what was done only with --verbose.
Notices notices(const ObserveOptions& options, Reporter& reporter);

// Gives up the privileges and the memory that only loading and opening needed. Call it once everything is open.
void settle(const Fleet& fleet, const ObserveOptions& options, bool writes_log, Reporter& reporter);

// Lets the fleet do between two samples what cannot wait for the next one, for as long as the result lives.
EventLoop::Watch watch_between_samples(EventLoop& events, Fleet& fleet);

// Says that the server is a guess or that others were passed over.
void report_doubt(const Fleet& fleet, Reporter& reporter);

void report_ended(pid_t pid, Reporter& reporter);

}  // namespace monitor
