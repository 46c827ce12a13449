// SPDX-License-Identifier: Apache-2.0
// Escapes strings that others wrote and formats times; every output shares this.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace monitor {

// Printable text for a terminal or a log. Characters without columns in columns.h (controls, bidirectional and
// zero-width characters, combining marks, blanks other than the space) and invalid UTF-8 become \xNN for each byte; a
// backslash becomes \\. Valid printable UTF-8 stays, unless `ascii_only`.
std::string escape_text(std::string_view bytes, bool ascii_only = false);

// "1h 23m 45s", "23m 45s", "45s", "2d 1h 23m 45s"; negative counts as 0.
std::string format_uptime(double seconds);

// The path for people: escaped, and followed by "…" (with ascii_only "...") if it was cut.
std::string display_path(std::string_view path, bool cut, bool ascii_only = false);

}  // namespace monitor
