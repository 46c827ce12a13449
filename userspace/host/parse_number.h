// SPDX-License-Identifier: Apache-2.0
// A number that is the whole of a text, as the files of /proc write them. Private to host/.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace monitor {

// Nothing when the text is empty, is no number, has anything around it, or does not fit.
template <typename Number>
std::optional<Number> parse_number(std::string_view text, int base = 10) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number, base);
  if (error != std::errc() || end != text.data() + text.size()) {
    return std::nullopt;
  }
  return number;
}

}  // namespace monitor
