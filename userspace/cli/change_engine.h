// SPDX-License-Identifier: Apache-2.0
// What the commands that change the attached engine (`attach` and `detach`) have in common.
#pragma once

#include <string>

#include "base/result.h"
#include "sinks/reporter.h"

namespace monitor {

// Blocks signals until the program ends: these commands are short, and Ctrl-C must not interrupt them halfway.
void defer_signals();

// Writes one line to standard output.
Status say(const std::string& line, const Reporter& reporter);

}  // namespace monitor
