// SPDX-License-Identifier: Apache-2.0
// How wide text is on a terminal, and which characters may reach one at all. Needs no locale: the answers are the same
// whatever LC_ALL says.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace monitor {

inline constexpr char32_t kInvalidCodePoint = 0xffffffff;

// The first character of `bytes` (not empty) and how many bytes it took: RFC 3629, so no overlong forms, no surrogates,
// nothing past U+10FFFF. Bytes that are no character give kInvalidCodePoint and a length of 1.
struct Utf8Character {
  char32_t code_point = kInvalidCodePoint;
  std::size_t length = 1;
};
Utf8Character decode_utf8(std::string_view bytes);

// The columns that a character takes: 1 or 2. 0 for one that is never shown as it is: controls, line separators,
// blanks other than the space, format characters (bidirectional, zero-width), combining marks, private use, unassigned.
unsigned character_columns(char32_t code_point);

// The columns of text that escape_text made.
std::size_t text_columns(std::string_view text);

// Text that escape_text made, in at most `columns` columns: where it is wider, its middle (or its end, with a `tail` of
// 0) gives way to `ellipsis`, and the last `tail` columns stay. Never cuts a character or an escape in two.
std::string shorten(std::string_view text, std::size_t columns, std::size_t tail, std::string_view ellipsis);

}  // namespace monitor
