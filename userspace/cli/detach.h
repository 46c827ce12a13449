// SPDX-License-Identifier: Apache-2.0
// `monitor detach`: ends what `monitor attach` began.
#pragma once

#include "base/result.h"
#include "cli/options.h"
#include "sinks/reporter.h"

namespace monitor {

// Returns the exit status, and prints on standard output what it did.
Result<int> detach(const DetachOptions& options, Reporter& reporter);

}  // namespace monitor
