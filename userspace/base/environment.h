// SPDX-License-Identifier: Apache-2.0
// The environment variables as a parameter, so that what depends on them can be tested with others.
#pragma once

#include <functional>

namespace monitor {

// The value of a variable, or nullptr where it is not set: getenv's contract.
using Environment = std::function<const char*(const char* name)>;

}  // namespace monitor
