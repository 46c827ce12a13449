// SPDX-License-Identifier: Apache-2.0
// `monitor attach`: has servers counted without a process of ours.
#pragma once

#include "base/result.h"
#include "cli/options.h"
#include "sinks/reporter.h"

namespace monitor {

// Returns the exit status, and says on standard output what it did.
Result<int> attach(const AttachOptions& options, Reporter& reporter);

}  // namespace monitor
