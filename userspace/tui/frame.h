// SPDX-License-Identifier: Apache-2.0
// Text for a terminal: the bytes that draw a text over what the screen shows. Pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace monitor {

struct TerminalSize {
  std::size_t rows = 24;
  std::size_t columns = 80;
};

// Cuts `line` (UTF-8 with colours, no newline) to `columns`. Keeps the colour sequences after the cut, because one of
// them resets the colour.
std::string cut_line(std::string_view line, std::size_t columns);

// Draws as much of `text` as fits, from the top left corner, and clears the rest of the screen. If not all lines fit,
// the last one shows how many are missing. Drawing over the old text instead of clearing it first avoids flicker.
// `newline` moves the cursor to the start of the next line.
std::string draw_frame(std::string_view text, const TerminalSize& size, std::string_view newline = "\r\n");

}  // namespace monitor
