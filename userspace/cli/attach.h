// SPDX-License-Identifier: Apache-2.0
// The commands that have servers counted with no process of ours running, end it, and tell of it.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/options.h"

namespace monitor {

// Each returns the exit status and says on standard output what it did. `utf8`: what standard error may show.
Result<int> attach(const AttachOptions& options, bool utf8);
Result<int> detach(const DetachOptions& options, bool utf8);

// What `monitor sessions` prints.
Result<std::string> describe_sessions(const SessionsOptions& options);

}  // namespace monitor
