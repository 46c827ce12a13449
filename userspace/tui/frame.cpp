// SPDX-License-Identifier: Apache-2.0
#include "tui/frame.h"

#include <algorithm>
#include <vector>

#include "output/columns.h"

namespace monitor {
namespace {

// ECMA-48 control functions.
constexpr std::string_view kHome = "\033[H";
constexpr std::string_view kClearRestOfLine = "\033[K";
constexpr std::string_view kClearBelow = "\033[J";

// The length of the control sequence (ESC [ … final byte) at the start of `text`, in bytes; 0 without one.
std::size_t control_sequence_length(std::string_view text) {
  if (text.substr(0, 2) != "\033[") {
    return 0;
  }
  const auto final_byte = std::find_if(text.begin() + 2, text.end(), [](char c) { return c >= 0x40 && c <= 0x7e; });
  return static_cast<std::size_t>(final_byte - text.begin()) + (final_byte == text.end() ? 0 : 1);
}

struct Cut {
  std::string text;
  std::size_t columns = 0;
};

Cut cut(std::string_view line, std::size_t columns) {
  Cut result;
  bool full = false;
  while (!line.empty()) {
    std::size_t length = control_sequence_length(line);
    if (length == 0) {
      const Utf8Character character = decode_utf8(line);
      length = character.length;
      const std::size_t width = character_columns(character.code_point);
      full = full || result.columns + width > columns;
      if (full) {
        line.remove_prefix(length);
        continue;
      }
      result.columns += width;
    }
    result.text += line.substr(0, length);
    line.remove_prefix(length);
  }
  return result;
}

std::vector<std::string_view> lines_of(std::string_view text) {
  std::vector<std::string_view> lines;
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    lines.push_back(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
  return lines;
}

}  // namespace

std::string cut_line(std::string_view line, std::size_t columns) {
  return cut(line, columns).text;
}

std::string draw_frame(std::string_view text, const TerminalSize& size, std::string_view newline) {
  std::vector<std::string_view> lines = lines_of(text);
  std::string missing;
  if (lines.size() > size.rows && size.rows != 0) {
    const std::size_t shown = size.rows - 1;
    missing = "(" + std::to_string(lines.size() - shown) + " more lines: enlarge the terminal)";
    lines.resize(shown);
    lines.push_back(missing);
  }
  std::string frame{kHome};
  for (std::size_t row = 0; row < lines.size(); ++row) {
    const Cut line = cut(lines[row], size.columns);
    frame += row == 0 ? "" : newline;
    frame += line.text;
    // After a full line the cursor stays on the last column, and clearing would erase that column.
    frame += line.columns < size.columns ? kClearRestOfLine : "";
  }
  if (lines.size() < size.rows) {
    frame += lines.empty() ? "" : newline;
    frame += kClearBelow;
  }
  return frame;
}

}  // namespace monitor
