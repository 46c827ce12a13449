// SPDX-License-Identifier: Apache-2.0
// `monitor attach`: leaves the engine attached, so that it counts while no `monitor` runs.
#pragma once

#include "base/result.h"
#include "cli/options.h"
#include "sinks/reporter.h"

namespace monitor {

// Returns the exit status, and prints on standard output what it did.
Result<int> attach(const AttachOptions& options, Reporter& reporter);

}  // namespace monitor
