// SPDX-License-Identifier: Apache-2.0
// Decodes UTF-8 and measures text with the tables of utf8proc. wcwidth depends on the process's locale, and in the
// locale C it knows ASCII only.
#include "output/columns.h"

#include <utf8proc.h>

#include <algorithm>
#include <vector>

namespace monitor {
namespace {

bool never_shown(utf8proc_int32_t code_point) {
  switch (utf8proc_category(code_point)) {
    case UTF8PROC_CATEGORY_CN:  // unassigned, including noncharacters
    case UTF8PROC_CATEGORY_CC:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_CS:
    case UTF8PROC_CATEGORY_CO:
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_ZL:
    case UTF8PROC_CATEGORY_ZP:
      return true;
    case UTF8PROC_CATEGORY_ZS:
      return code_point != ' ';
    default:
      break;
  }
  // Letters that draw nothing, such as the Hangul fillers, and the jamo that join the syllable before them.
  const utf8proc_property_t& property = *utf8proc_get_property(code_point);
  return property.ignorable != 0 || property.boundclass == UTF8PROC_BOUNDCLASS_V ||
         property.boundclass == UTF8PROC_BOUNDCLASS_T;
}

// A piece of escaped text that must not be cut: "\\", "\xNN" or a character.
struct Piece {
  std::size_t length = 0;
  std::size_t columns = 0;
};

Piece first_piece(std::string_view text) {
  if (text[0] == '\\') {
    const std::size_t length = std::min<std::size_t>(text.size(), text.size() > 1 && text[1] == 'x' ? 4 : 2);
    return {length, length};
  }
  const Utf8Character character = decode_utf8(text);
  return {character.length, character_columns(character.code_point)};
}

std::vector<Piece> pieces_of(std::string_view text) {
  std::vector<Piece> pieces;
  while (!text.empty()) {
    pieces.push_back(first_piece(text));
    text.remove_prefix(pieces.back().length);
  }
  return pieces;
}

// The bytes of the leading pieces that fit.
template <typename Iterator>
std::size_t fitting_bytes(Iterator piece, Iterator end, std::size_t columns) {
  std::size_t bytes = 0;
  for (; piece != end && piece->columns <= columns; ++piece) {
    columns -= piece->columns;
    bytes += piece->length;
  }
  return bytes;
}

}  // namespace

Utf8Character decode_utf8(std::string_view bytes) {
  utf8proc_int32_t code_point = -1;
  const utf8proc_ssize_t length = utf8proc_iterate(reinterpret_cast<const utf8proc_uint8_t*>(bytes.data()),
                                                   static_cast<utf8proc_ssize_t>(bytes.size()), &code_point);
  if (length <= 0) {
    return {};
  }
  return {static_cast<char32_t>(code_point), static_cast<std::size_t>(length)};
}

unsigned character_columns(char32_t code_point) {
  if (code_point > 0x10ffff || never_shown(static_cast<utf8proc_int32_t>(code_point))) {
    return 0;
  }
  return static_cast<unsigned>(std::max(0, utf8proc_charwidth(static_cast<utf8proc_int32_t>(code_point))));
}

std::size_t text_columns(std::string_view text) {
  std::size_t columns = 0;
  for (const Piece& piece : pieces_of(text)) {
    columns += piece.columns;
  }
  return columns;
}

std::string shorten(std::string_view text, std::size_t columns, std::size_t tail, std::string_view ellipsis) {
  if (text_columns(text) <= columns) {
    return std::string(text);
  }
  const std::size_t gap = text_columns(ellipsis);
  if (gap > columns) {
    return "";
  }
  const std::size_t room = columns - gap;
  tail = std::min(tail, room);
  const std::vector<Piece> pieces = pieces_of(text);
  const std::size_t head_bytes = fitting_bytes(pieces.begin(), pieces.end(), room - tail);
  const std::size_t tail_bytes = fitting_bytes(pieces.rbegin(), pieces.rend(), tail);
  return std::string(text.substr(0, head_bytes)).append(ellipsis).append(text.substr(text.size() - tail_bytes));
}

}  // namespace monitor
