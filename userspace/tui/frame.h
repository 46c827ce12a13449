// SPDX-License-Identifier: Apache-2.0
// One picture on a terminal: what is written to draw text over what is there. Pure.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace monitor {

struct TerminalSize {
  std::size_t rows = 24;
  std::size_t columns = 80;
};

// `line` (UTF-8 with colours, no newline) cut to `columns`. Colours behind the cut stay, since one of them ends those
// before it.
std::string cut_line(std::string_view line, std::size_t columns);

// Draws `text` from the top left corner on, as much of it as fits, and clears the rest of the screen. Nothing is
// cleared before it is drawn over, so nothing flickers.
std::string draw_frame(std::string_view text, const TerminalSize& size);

}  // namespace monitor
