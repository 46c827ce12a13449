// SPDX-License-Identifier: Apache-2.0
// Makes bytes of strangers safe to show and figures fit to read; shared by every output.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

namespace monitor {

// Printable text for a terminal or a log: what columns.h never shows (controls, bidirectional and zero-width
// characters, combining marks, blanks other than the space) and bytes that are no valid UTF-8 become \xNN, one for each
// byte; a backslash becomes \\. Valid printable UTF-8 stays unless `ascii_only`.
std::string escape_text(std::string_view bytes, bool ascii_only = false);

// "1h 23m 45s", "23m 45s", "45s", "2d 1h 23m 45s"; negative counts as 0.
std::string format_uptime(double seconds);

// The path as shown to a person: escaped, "…" (or "..." with ascii_only) behind one that was cut.
std::string display_path(std::string_view path, bool cut, bool ascii_only = false);

}  // namespace monitor
