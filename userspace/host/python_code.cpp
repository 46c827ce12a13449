// SPDX-License-Identifier: Apache-2.0
#include "host/python_code.h"

#include <algorithm>
#include <cstddef>

namespace monitor {
namespace {

// The length of the string literal at the front of `source`, which begins with a quote. Without its end, a literal ends
// with the line, one in triple quotes with the source.
std::size_t literal_length(std::string_view source) {
  const char quote = source.front();
  const std::string triple(3, quote);
  const bool is_long = source.starts_with(triple);
  for (std::size_t i = is_long ? triple.size() : 1; i < source.size(); ++i) {
    if (source[i] == '\\') {
      ++i;
    } else if (is_long ? source.substr(i).starts_with(triple) : source[i] == quote || source[i] == '\n') {
      return i + (is_long ? triple.size() : 1);
    }
  }
  return source.size();
}

}  // namespace

std::string code_of(std::string_view source) {
  std::string code;
  while (!source.empty()) {
    const std::size_t end = std::min(source.find_first_of("#\"'"), source.size());
    code += source.substr(0, end);
    source.remove_prefix(end);
    if (source.starts_with("#")) {
      source.remove_prefix(std::min(source.find('\n'), source.size()));
    } else if (!source.empty()) {
      const std::size_t length = literal_length(source);
      code += length < source.size() && source[length - 1] == '\n' ? "''\n" : "''";
      source.remove_prefix(length);
    }
  }
  return code;
}

}  // namespace monitor
