// SPDX-License-Identifier: Apache-2.0
// What the output may use: colour, the whole screen, characters beyond ASCII.
#pragma once

#include "base/environment.h"

namespace monitor {

enum class ColorChoice { kAuto, kAlways, kNever };

// The command line takes precedence over NO_COLOR, and NO_COLOR over what the terminal can do.
bool use_color(ColorChoice choice, bool is_terminal, const Environment& environment);

// Whether the cursor can be moved: a terminal whose TERM is set and not "dumb".
bool is_smart_terminal(bool is_terminal, const Environment& environment);

// Whether the locale's character set is UTF-8. Sets LC_CTYPE from the environment first.
bool is_utf8_locale();

}  // namespace monitor
