// SPDX-License-Identifier: Apache-2.0
// How wide text is on a terminal, and which characters may reach a terminal at all. The results do not depend on the
// locale.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace monitor {

inline constexpr char32_t kInvalidCodePoint = 0xffffffff;

// Decodes the first character of `bytes`, which are not empty, by RFC 3629: it rejects overlong forms, surrogates and
// everything past U+10FFFF. Invalid bytes give kInvalidCodePoint and a length of 1.
struct Utf8Character {
  char32_t code_point = kInvalidCodePoint;
  std::size_t length = 1;
};
Utf8Character decode_utf8(std::string_view bytes);

// The columns that a character takes, 1 or 2; 0 for a character that must be escaped: controls, line separators, blanks
// other than the space, format characters (bidirectional, zero-width), combining marks, private use, unassigned.
unsigned character_columns(char32_t code_point);

// The columns of text that escape_text returned.
std::size_t text_columns(std::string_view text);

// Shortens text that escape_text returned to at most `columns` columns: `ellipsis` replaces its middle, and the last
// `tail` columns stay (with a `tail` of 0, it replaces the end). Never cuts a character or an escape in two.
std::string shorten(std::string_view text, std::size_t columns, std::size_t tail, std::string_view ellipsis);

}  // namespace monitor
