// SPDX-License-Identifier: Apache-2.0
// Decides what the output may use: colour, the whole screen, characters beyond ASCII.
#pragma once

#include "cli/environment.h"
#include "cli/options.h"

namespace monitor {

// The command line before NO_COLOR before what the terminal can do.
bool use_color(ColorChoice choice, bool is_terminal, const Environment& environment);

// Whether the cursor can be moved about: a terminal that says what it is, and does not say "dumb".
bool is_smart_terminal(bool is_terminal, const Environment& environment);

// Whether the locale's character set is UTF-8. Sets LC_CTYPE from the environment first.
bool is_utf8_locale();

}  // namespace monitor
