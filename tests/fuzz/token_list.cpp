// SPDX-License-Identifier: Apache-2.0
// Parses lists of tokens by RFC 9110 §5.6.1, and detects lists that http_parser reads differently.
#include "fuzz/token_list.h"

#include <algorithm>

#include "fuzz/text.h"

namespace monitor::fuzz {
namespace {

// Calls `visit` with each element of the list that is not empty.
template <typename Visit>
void for_elements(std::string_view list, const Visit& visit) {
  for (std::size_t begin = 0; begin <= list.size();) {
    const std::size_t end = std::min(list.find(',', begin), list.size());
    const std::string_view element = trimmed(list.substr(begin, end - begin));
    if (!element.empty()) {
      visit(element);
    }
    begin = end + 1;
  }
}

// Whether `element` is a proper prefix of a word that http_parser searches for. http_parser then treats the following
// comma as one more letter, and the next element as part of this one. (httptools inherits this: "Clo, Close" keeps the
// connection open.)
bool begins_word(std::string_view element) {
  constexpr std::array<std::string_view, 4> kWords = {"close", "keep-alive", "upgrade", "chunked"};
  return std::any_of(kWords.begin(), kWords.end(), [element](std::string_view word) {
    return element.size() < word.size() && same_text(element, word.substr(0, element.size()));
  });
}

}  // namespace

void TokenList::clear() {
  length_ = 0;
  lines_ = 0;
  folded_ = false;
  broken_ = false;
}

void TokenList::begin_line() {
  append(lines_ != 0 ? "," : "");
  lines_ += 1;
  line_begun_ = false;
}

void TokenList::add(std::string_view text) {
  if (line_begun_) {
    const std::string_view before = trimmed(this->text());
    folded_ = true;
    broken_ = broken_ || (!before.empty() && before.back() != ',' && !trimmed(text).empty());
  }
  line_begun_ = true;
  append(text);
}

void TokenList::append(std::string_view text) {
  std::copy(text.begin(), text.end(), text_.begin() + length_);
  length_ += text.size();
}

// Plain means: at most one line, only letters, digits, hyphens, commas and spaces, an element after each comma, and no
// element that is a prefix of a word that matters.
bool TokenList::is_plain() const {
  bool begun = false;
  for_elements(text(), [&](std::string_view element) { begun = begun || begins_word(element); });
  if (begun) {
    return false;
  }
  bool wants_element = false;
  for (const char c : text()) {
    const bool letter = is_letter(c) || is_digit(c) || c == '-';
    if (c == ',' ? wants_element : !letter && c != ' ') {
      return false;
    }
    wants_element = c == ',' || (wants_element && c == ' ');
  }
  return lines_ <= 1 && !folded_ && !wants_element &&
         (length_ == 0 || (text().front() != ',' && text().front() != ' '));
}

bool TokenList::has(std::string_view token) const {
  bool found = false;
  for_elements(text(), [&](std::string_view element) { found = found || same_text(element, token); });
  return found;
}

bool TokenList::ends_in(std::string_view token) const {
  bool found = false;
  for_elements(text(), [&](std::string_view element) { found = same_text(element, token); });
  return found;
}

}  // namespace monitor::fuzz
