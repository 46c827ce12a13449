// SPDX-License-Identifier: Apache-2.0
// Escapes strings that others wrote and formats times. The escape is reversible: different bytes never look the same.
#include "output/text.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>

#include "output/columns.h"

namespace monitor {
namespace {

constexpr std::string_view kEllipsis = "…";
constexpr std::string_view kAsciiEllipsis = "...";

void append_hex(std::string_view bytes, std::string& text) {
  for (const char byte : bytes) {
    fmt::format_to(std::back_inserter(text), "\\x{:02x}", static_cast<unsigned char>(byte));
  }
}

}  // namespace

std::string escape_text(std::string_view bytes, bool ascii_only) {
  std::string text;
  text.reserve(bytes.size());
  while (!bytes.empty()) {
    const Utf8Character character = decode_utf8(bytes);
    const std::string_view taken = bytes.substr(0, character.length);
    bytes.remove_prefix(character.length);
    if (character.code_point == '\\') {
      text += "\\\\";
    } else if (character_columns(character.code_point) == 0 || (ascii_only && character.code_point >= 0x80)) {
      append_hex(taken, text);
    } else {
      text += taken;
    }
  }
  return text;
}

std::string format_uptime(double seconds) {
  // The comparison is false for NaN too. The cap of 31 million years keeps the conversion below defined.
  const double known = seconds > 0 ? std::min(seconds, 1e15) : 0;
  const auto whole = static_cast<std::uint64_t>(known);
  const std::uint64_t days = whole / 86400;
  const std::uint64_t hours = whole / 3600 % 24;
  const std::uint64_t minutes = whole / 60 % 60;
  std::string text;
  if (days > 0) {
    text += fmt::format("{}d ", days);
  }
  if (whole >= 3600) {
    text += fmt::format("{}h ", hours);
  }
  if (whole >= 60) {
    text += fmt::format("{}m ", minutes);
  }
  return text + fmt::format("{}s", whole % 60);
}

std::string display_path(std::string_view path, bool cut, bool ascii_only) {
  const std::string_view ellipsis = ascii_only ? kAsciiEllipsis : kEllipsis;
  if (cut) {
    return escape_text(path, ascii_only).append(ellipsis);
  }
  // A path that itself ends in an ellipsis must not look like a cut path.
  const std::string_view own_ellipsis = path.ends_with(ellipsis) ? ellipsis : "";
  std::string text = escape_text(path.substr(0, path.size() - own_ellipsis.size()), ascii_only);
  append_hex(own_ellipsis, text);
  return text;
}

}  // namespace monitor
