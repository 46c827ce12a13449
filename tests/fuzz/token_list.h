// SPDX-License-Identifier: Apache-2.0
// A header field whose value is a list of tokens, collected from the pieces that http_parser passes to its callbacks.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

#include "fuzz/replay.h"

namespace monitor::fuzz {

// All field lines of one name, joined by commas (RFC 9110 §5.3).
class TokenList {
 public:
  void clear();
  void begin_line();
  // Appends to the current line: its value, or a line that continues it (obs-fold).
  void add(std::string_view text);

  // Whether http_parser reads the list as RFC 9110 §5.6.1 defines it.
  [[nodiscard]] bool is_plain() const;
  // Whether `token` is an element of the list.
  [[nodiscard]] bool has(std::string_view token) const;
  // Whether `token` is the last element.
  [[nodiscard]] bool ends_in(std::string_view token) const;
  // Whether an element continues on the next line (obs-fold): "close" LF " x".
  [[nodiscard]] bool has_broken_element() const { return broken_; }

 private:
  void append(std::string_view text);
  [[nodiscard]] std::string_view text() const { return {text_.data(), length_}; }

  // The lines with a comma before each but the first, which is never longer than the stream. Not a std::string: its
  // append() compares addresses, so coverage would depend on them, and a fixed seed would not reproduce the same
  // inputs.
  std::array<char, kStream> text_{};
  std::size_t length_ = 0;
  std::size_t lines_ = 0;
  bool line_begun_ = false;
  bool folded_ = false;
  bool broken_ = false;
};

}  // namespace monitor::fuzz
