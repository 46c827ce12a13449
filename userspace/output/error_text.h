// SPDX-License-Identifier: Apache-2.0
// Messages for the operator, as text that is safe on a terminal. `utf8`: the terminal shows characters beyond ASCII.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace monitor {

// "monitor: <what>" on one line, and below it the lines of the hint, indented.
std::string error_text(const Error& error, bool utf8);

// "monitor: <notice>" on one line.
std::string notice_text(std::string_view notice, bool utf8);

// Replaces whatever a terminal would obey instead of show by \xNN, including newlines. The text's author has escaped
// its backslashes already, so they stay.
std::string escape_controls(std::string_view text, bool utf8);

}  // namespace monitor
