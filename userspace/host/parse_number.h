// SPDX-License-Identifier: Apache-2.0
// Parses the numbers in /proc files. Private to host/.
#pragma once

#include <charconv>
#include <optional>
#include <string_view>
#include <system_error>

namespace monitor {

// The whole text must be one number: nullopt if it is empty, is not a number, has other characters before or after the
// number, or does not fit the type.
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
