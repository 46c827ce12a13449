// SPDX-License-Identifier: Apache-2.0
// `monitor sessions`: lists what is attached.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/options.h"

namespace monitor {

// The text to print.
Result<std::string> describe_sessions(const SessionsOptions& options);

}  // namespace monitor
