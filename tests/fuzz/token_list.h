// SPDX-License-Identifier: Apache-2.0
// A header field that is a list of tokens, as http_parser hands it over piece by piece.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "fuzz/replay.h"

namespace monitor::fuzz {

// A field that is a list of tokens, as http_parser tells of it: all lines of that name, put together (RFC 9110 §5.3).
class TokenList {
 public:
  void clear();
  void begin_line();
  // What stands in the line, or continues it (obs-fold).
  void add(std::string_view text);

  // Whether http_parser reads it as RFC 9110 §5.6.1 has it.
  [[nodiscard]] bool is_plain() const;
  // Whether `token` is an element, or the last one.
  [[nodiscard]] bool has(std::string_view token) const;
  [[nodiscard]] bool ends_in(std::string_view token) const;
  // An element goes on in a continuation line: "close" LF " x".
  [[nodiscard]] bool has_broken_element() const { return broken_; }

 private:
  void append(std::string_view text);
  [[nodiscard]] std::string_view text() const { return {text_.data(), length_}; }

  // A comma is put before each line but the first: never more than the stream. Not a std::string: whether appending to
  // one looks at addresses, coverage depends on them, and a fixed seed no longer gives the same inputs.
  std::array<char, kStream> text_{};
  std::size_t length_ = 0;
  std::size_t lines_ = 0;
  bool line_begun_ = false;
  bool folded_ = false;
  bool broken_ = false;
};

}  // namespace monitor::fuzz
