// SPDX-License-Identifier: Apache-2.0
// `monitor serve`: observes servers and serves their metrics over HTTP.
#pragma once

#include "base/result.h"
#include "cli/options.h"
#include "sinks/reporter.h"

namespace monitor {

// Returns the exit status after a signal to stop or, without --all, after all servers have ended (serve_loop.h).
Result<int> serve(const ServeOptions& options, Reporter& reporter);

}  // namespace monitor
