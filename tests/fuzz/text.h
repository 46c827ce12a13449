// SPDX-License-Identifier: Apache-2.0
// Letters, digits and whitespace as HTTP defines them, independent of the locale. Used by the fuzz targets' second
// opinion.
#pragma once

#include <algorithm>
#include <string_view>

namespace monitor::fuzz {

inline bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

inline bool same_letter(char a, char b) {
  return (is_letter(a) ? a | 0x20 : a) == b;
}

// `lower` is in lower case.
inline bool same_text(std::string_view text, std::string_view lower) {
  return std::equal(text.begin(), text.end(), lower.begin(), lower.end(), same_letter);
}

inline bool starts_with(std::string_view text, std::string_view lower) {
  return same_text(text.substr(0, lower.size()), lower);
}

inline constexpr std::string_view kBlanks = " \t";

// Removes spaces and tabs at both ends.
inline std::string_view trimmed(std::string_view text) {
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  return text.substr(0, text.find_last_not_of(kBlanks) + 1);
}

}  // namespace monitor::fuzz
