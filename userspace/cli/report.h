// SPDX-License-Identifier: Apache-2.0
// What is said on standard error: errors, warnings, and with --verbose what is done.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace monitor {

// "monitor: <what>" on one line and the lines of the hint below it, indented.
std::string error_text(const Error& error, bool utf8);

// Whatever a terminal would obey instead of show becomes \xNN, a newline too. For text that its maker has escaped
// already: a backslash is left alone.
std::string escape_controls(std::string_view text, bool utf8);

// Writes "monitor: <text>" to standard error, where a failure to do so is ignored.
void report(std::string_view text, bool utf8);
void report(const Error& error, bool utf8);

}  // namespace monitor
