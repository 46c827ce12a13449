// SPDX-License-Identifier: Apache-2.0
#include "output/error_text.h"

#include <fmt/format.h>

#include <algorithm>

#include "output/columns.h"

namespace monitor {
namespace {

// Whether a terminal shows the character and does nothing else with it.
bool is_harmless(std::string_view bytes, char32_t code_point, bool utf8) {
  return (bytes.size() == 1 || utf8) && code_point != kInvalidCodePoint && character_columns(code_point) > 0;
}

}  // namespace

std::string escape_controls(std::string_view text, bool utf8) {
  std::string escaped;
  while (!text.empty()) {
    const Utf8Character character = decode_utf8(text);
    const std::string_view bytes = text.substr(0, character.length);
    text.remove_prefix(character.length);
    if (is_harmless(bytes, character.code_point, utf8)) {
      escaped += bytes;
      continue;
    }
    for (const char byte : bytes) {
      escaped += fmt::format("\\x{:02x}", static_cast<unsigned char>(byte));
    }
  }
  return escaped;
}

std::string notice_text(std::string_view notice, bool utf8) {
  return "monitor: " + escape_controls(notice, utf8) + "\n";
}

std::string error_text(const Error& error, bool utf8) {
  std::string text = notice_text(error.what, utf8);
  for (std::string_view hint = error.hint; !hint.empty();) {
    const std::size_t end = std::min(hint.find('\n'), hint.size());
    text += "  " + escape_controls(hint.substr(0, end), utf8) + "\n";
    hint.remove_prefix(std::min(end + 1, hint.size()));
  }
  return text;
}

}  // namespace monitor
