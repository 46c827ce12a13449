// SPDX-License-Identifier: Apache-2.0
// monitor ls: lists the servers on this machine.
#pragma once

#include <string>

#include "base/result.h"
#include "cli/options.h"
#include "sinks/reporter.h"

namespace monitor {

// The text to print. Reports what could not be seen.
Result<std::string> list_servers(const ListOptions& options, Reporter& reporter);

}  // namespace monitor
