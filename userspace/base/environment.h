// SPDX-License-Identifier: Apache-2.0
// Environment variables as a parameter, so that tests can pass their own.
#pragma once

#include <functional>

namespace monitor {

// Returns a variable's value, or nullptr if it is not set, as getenv does.
using Environment = std::function<const char*(const char* name)>;

}  // namespace monitor
