// SPDX-License-Identifier: Apache-2.0
// `monitor` without a command: shows servers, once or until it is stopped.
#pragma once

#include "base/result.h"
#include "cli/options.h"
#include "sinks/reporter.h"

namespace monitor {

// Returns the exit status.
Result<int> view(const ViewOptions& options, Reporter& reporter);

}  // namespace monitor
