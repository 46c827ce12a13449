// SPDX-License-Identifier: Apache-2.0
// Leaves of a Python program's source what the interpreter runs. Private to host/.
#pragma once

#include <string>
#include <string_view>

namespace monitor {

// The source without comments and without what string literals contain: examples in them often import a server.
std::string code_of(std::string_view source);

}  // namespace monitor
