// SPDX-License-Identifier: Apache-2.0
#include "fuzz/plain_segment.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <initializer_list>
#include <utility>
#include <vector>

#include "fuzz/plain_words.h"
#include "http1/letter_pairs.h"

namespace monitor::fuzz {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_lower(char c) {
  return c >= 'a' && c <= 'z';
}

bool is_upper(char c) {
  return c >= 'A' && c <= 'Z';
}

bool is_letter(char c) {
  return is_lower(c) || is_upper(c);
}

bool is_word(char c) {
  return is_letter(c) || is_digit(c);
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_safe(char c) {
  return std::string_view("bcdfghjklmnpqrstvwxz2456789").find(c) != std::string_view::npos;
}

bool is_joint(char c) {
  return c == '-' || c == '_';
}

std::size_t count(std::string_view text, bool (*is)(char)) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is));
}

std::size_t count(std::string_view text, char c) {
  return static_cast<std::size_t>(std::count(text.begin(), text.end(), c));
}

bool only(std::string_view text, bool (*is)(char)) {
  return count(text, is) == text.size();
}

std::string lowered(std::string_view text) {
  std::string lower(text);
  std::transform(lower.begin(), lower.end(), lower.begin(),
                 [](char c) { return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c; });
  return lower;
}

int code(char c) {
  return is_digit(c) ? LETTER_PAIRS_DIGIT : c & 31;
}

// A run of letters and digits, which may be empty, between two other bytes.
struct Part {
  std::string text;
  char before = 0;
  char after = 0;
  std::size_t begin = 0;

  [[nodiscard]] std::size_t size() const { return text.size(); }
  [[nodiscard]] std::size_t end() const { return begin + text.size(); }
  [[nodiscard]] std::size_t digits() const { return count(text, is_digit); }
  [[nodiscard]] bool is_number() const { return !text.empty() && digits() == size(); }

  [[nodiscard]] std::size_t turns() const {
    std::size_t found = 0;
    for (std::size_t at = 1; at < size(); ++at) {
      found += is_digit(text[at - 1]) != is_digit(text[at]) ? 1 : 0;
    }
    return found;
  }

  [[nodiscard]] int score() const {
    int sum = 0;
    for (std::size_t at = 1; at < size(); ++at) {
      const char first = text[at - 1];
      const char second = text[at];
      const bool lower_before = count(std::string_view(text).substr(0, at), is_lower) != 0;
      if (is_lower(first) && is_upper(second)) {
        sum += LETTER_PAIRS_HUMP;
      } else if (is_upper(first) && is_upper(second) && lower_before) {
        sum += LETTER_PAIRS_CAPS;
      } else {
        sum += letter_pairs[code(first) * LETTER_PAIRS_CODES + code(second)];
      }
    }
    return sum;
  }

  [[nodiscard]] bool is_template_hash() const {
    return only(text, is_safe) && size() >= 8 && size() <= 10 && digits() < size();
  }
};

std::vector<Part> parts_of(std::string_view text) {
  std::vector<Part> parts(1);
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (is_word(text[at])) {
      parts.back().text += text[at];
    } else {
      parts.back().after = text[at];
      parts.push_back({"", text[at], 0, at + 1});
    }
  }
  return parts;
}

// A segment with its parts.
class Segment {
 public:
  explicit Segment(const std::string& text) : text_(text), parts_(parts_of(text)), last_(parts_.back()) {
    find_values();
    lead_ = static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
  }

  [[nodiscard]] PlainSegment result() const {
    PlainSegment result;
    result.identifier = is_identifier();
    result.secret = is_secret();
    result.short_secret = text_.size() >= 8 && digits() != text_.size() && (odd_ || is_identifier());
    result.precedes_secrets =
        names(last_) || (last_.digits() >= 5 && last_.digits() + 3 == last_.size() && last_.text.starts_with("bot"));
    result.long_name = text_.size() >= 16 || (digits() != 0 && text_.size() >= 10);
    result.hexadecimal = count(text_, is_hex) + separators() == text_.size();
    result.has_digit = digits() != 0;
    result.has_equals = text_.find('=') != std::string::npos;
    result.doi_prefix =
        lead_ == 2 && count(text_, '.') == 1 && separators() == 1 && last_.digits() >= 4 && letters() == 0;
    result.colons = count(text_, ':');
    return result;
  }

 private:
  [[nodiscard]] std::size_t digits() const { return count(text_, is_digit); }
  [[nodiscard]] std::size_t letters() const { return count(text_, is_letter); }
  [[nodiscard]] std::size_t separators() const { return text_.size() - count(text_, is_word); }
  [[nodiscard]] bool has_upper() const { return count(text_, is_upper) != 0; }
  [[nodiscard]] bool has_lower() const { return count(text_, is_lower) != 0; }
  [[nodiscard]] bool is_mixed() const { return has_upper() && has_lower(); }
  [[nodiscard]] bool is_upper_only() const { return has_upper() && !has_lower(); }

  [[nodiscard]] static bool names(const Part& part) {
    return part.size() >= 3 && part.digits() == 0 && is_secret_word(lowered(part.text));
  }

  // Whether an upper-case letter stands before the end of the part.
  [[nodiscard]] bool upper_until(const Part& part) const {
    return count(std::string_view(text_).substr(0, part.end()), is_upper) != 0;
  }

  [[nodiscard]] bool is_odd(const Part& part) const {
    const bool mixed = count(part.text, is_lower) != 0 && upper_until(part);
    if (part.size() < 8 || part.is_number()) {
      return false;
    }
    if (part.turns() > 3 || (part.digits() == 0 && !mixed)) {
      return part.score() > -3 * static_cast<int>(part.size());
    }
    return part.score() > (part.turns() > 2 ? -10 : 5);
  }

  // Follows the values of the segment: "a-b=c-d;e".
  void find_values() {
    int key = 0;  // 1: a word that marks keys and other things; 2: one that can also be a word; 3: one that cannot
    std::size_t key_end = 0;
    int key_score = 0;
    bool expects = false;
    for (const Part& part : parts_) {
      if (part.size() >= 5 && part.score() > 0) {
        score_ += part.score();
        random_ += part.size();
      }
      whole_ += part.score();
      turns_ += part.turns();
      odd_ |= is_odd(part);
      marked_ |= part.size() >= 16 && has_key_head(part.text);
      if (is_joint(part.after) || part.after == '.' || part.after == '~') {
        const int kind = std::max(key_kind(lowered(part.text), part.after), names(part) ? 1 : 0);
        if (kind > key) {
          key = kind;
          key_end = part.end() + 1;
          key_score = score_;
        }
        continue;
      }
      const bool long_enough = part.end() >= key_end + 10;
      marked_ |= (key == 1 && part.size() >= 16 && score_ - key_score >= 10) || (key == 3 && long_enough) ||
                 (key == 2 && long_enough && (part.size() >= 16 || score_ > key_score)) || (expects && odd_);
      if (part.after != 0) {
        key = 0;
        expects = false;
        odd_ = false;
      }
      expects |= names(part);
    }
  }

  [[nodiscard]] bool is_uuid() const {
    constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
    return std::equal(text_.begin(), text_.end(), kForm.begin(), kForm.end(),
                      [](char c, char form) { return form == '-' ? c == '-' : is_hex(c); });
  }

  [[nodiscard]] bool is_number() const {
    const std::size_t hex = count(text_, is_hex);
    const std::size_t dots = count(text_, '.');
    if (digits() == 0) {
      return is_uuid();
    }
    if (digits() == text_.size() || (text_.size() >= 16 && hex == text_.size()) || is_uuid()) {
      return true;
    }
    if (letters() == 0 &&
        (digits() >= (dots != 0 ? 7 : 5) || (dots == 1 && last_.digits() >= 4 && lead_ == 2 && text_.size() >= 7))) {
      return true;
    }
    if (separators() >= 2 && hex >= 8 && hex + separators() == text_.size()) {
      return true;
    }
    if (text_.size() == 26 && lead_ != 0 && separators() == 0 && is_upper_only()) {
      return true;
    }
    const bool page = lead_ == 3 && last_.text.starts_with("htm");
    if (lead_ != 0 && separators() == 1 && dots == 1 && parts_[0].is_number() && last_.size() >= 2 &&
        last_.digits() == 0 && !page) {
      return true;
    }
    return digits() >= 8 && digits() * 4 >= (digits() + letters()) * 3;
  }

  [[nodiscard]] bool is_random() const {
    int least = 10;
    if (text_.size() >= 10 && whole_ >= 24 && digits() != 0 && is_mixed()) {
      return true;
    }
    if (random_ >= 10) {
      if (digits() == 0 && random_ < 16) {
        least = 30;
      } else if (turns_ < 3) {
        least = std::max(least, static_cast<int>(random_ * 3 / 2));
      }
      return score_ >= least;
    }
    return random_ >= 8 && text_[0] != 'v' && score_ >= (is_mixed() || turns_ > 3 ? 24 : 36);
  }

  // Whether a part is an identifier by itself.
  [[nodiscard]] bool has_identifier() const {
    bool year = false;
    bool month = false;
    bool pod = false;
    for (const Part& part : parts_) {
      const bool two = part.size() == 2 && part.is_number();
      const bool letters_before = count(std::string_view(text_).substr(0, part.end()), is_letter) != 0;
      const bool hash = only(part.text, is_hex) && part.turns() >= 2 && part.digits() >= 2 &&
                        (part.size() >= 8 || (part.size() == 7 && !upper_until(part)));
      if (hash || (pod && part.size() == 5 && only(part.text, is_safe)) ||
          (month && part.before == '.' && two && letters_before)) {
        return true;
      }
      pod = part.after == '-' && (part.is_template_hash() || (part.is_number() && part.size() >= 8));
      const bool separated = part.is_number() && (part.after == '-' || part.after == '.');
      month = separated && two && year && part.before == part.after;
      year = separated && part.size() == 4 && (part.text.starts_with("20") || part.text.starts_with("19"));
    }
    return longest_run() > 8;
  }

  [[nodiscard]] std::size_t longest_run() const {
    std::size_t run = 0;
    std::size_t longest = 0;
    for (const char c : text_) {
      run = is_digit(c) ? run + 1 : 0;
      longest = std::max(longest, run);
    }
    return longest;
  }

  [[nodiscard]] bool has_host() const {
    const std::size_t at = text_.find('@', 1);
    for (std::size_t dot = text_.find('.', at); at != std::string::npos && dot != std::string::npos;
         dot = text_.find('.', dot + 1)) {
      const bool scale = dot >= 3 && text_[dot - 3] == '@' && (text_[dot - 2] & 0xf0) == '0' &&
                         (text_[dot - 1] == 'x' || text_[dot - 1] == 'X');
      if (dot + 1 < text_.size() && is_letter(text_[dot + 1]) && !scale) {
        return true;
      }
    }
    return false;
  }

  [[nodiscard]] bool is_titled() const {
    return lead_ != 0 && lead_ + 1 < text_.size() && is_joint(text_[lead_]) &&
           (is_letter(text_[lead_ + 1]) || (is_digit(text_[lead_ + 1]) && lead_ >= 4)) && letters() != 0 &&
           (lead_ > 1 || separators() > 1);
  }

  [[nodiscard]] bool ends_at_random() const {
    const std::size_t turns = last_.turns();
    if (last_.size() < 10) {
      return false;
    }
    if (turns > 2 && last_.size() >= 20 && !is_mixed()) {
      return last_.score() > -60;
    }
    if (turns * 3 >= last_.size()) {
      return last_.score() > -16;
    }
    return is_joint(last_.before) && last_.score() > (turns > 1 ? -10 : 10);
  }

  [[nodiscard]] bool ends_in_day() const {
    if (!last_.is_number() || last_.size() != 8 || !last_.text.starts_with("20")) {
      return false;
    }
    const int month = std::stoi(last_.text.substr(4, 2));
    const int day = std::stoi(last_.text.substr(6));
    return month >= 1 && month <= 12 && day >= 1 && day <= 31;
  }

  [[nodiscard]] bool ends_in_number() const {
    if (last_.is_number()) {
      const bool release = letters() != 0 && (last_.before == '.' || (separators() > 1 && ends_in_day()));
      return last_.size() >= 6 && last_.size() != digits() + letters() && !release;
    }
    return last_.digits() >= 6 && last_.turns() == 1 && is_digit(last_.text.back()) &&
           !(letters() == 1 && text_[0] == 'v');
  }

  [[nodiscard]] bool ends_in_date() const {
    if (!last_.is_number() || last_.size() != 2 || letters() == 0 || parts_.size() < 2) {
      return false;
    }
    const auto is_year = [](const Part& part) {
      return part.size() == 4 && part.is_number() && (part.text.starts_with("20") || part.text.starts_with("19"));
    };
    const Part& before = parts_[parts_.size() - 2];
    if (before.size() == 2 && before.is_number()) {
      const Part* year = parts_.size() > 2 ? &parts_[parts_.size() - 3] : nullptr;
      const bool plain = last_.before == '-' || last_.before == '.';
      return year != nullptr && is_year(*year) && plain && before.before == last_.before && digits() == 8 &&
             separators() == 3;
    }
    return is_year(before) && last_.before == '.' && digits() == 6 && separators() == 2;
  }

  [[nodiscard]] bool is_ticket() const {
    if (!last_.is_number() || last_.before != '-' || lead_ != 0 || last_.size() < 2 || !is_upper_only()) {
      return false;
    }
    if (separators() > 1) {
      return digits() >= 5;
    }
    const std::string name = text_.substr(0, last_.begin - 1);
    const bool standard = last_.size() <= 4 && (name == "AES" || name == "GPT" || name == "ISO" || name == "RFC" ||
                                                name == "RSA" || name == "SHA" || name == "UTF");
    return name.size() >= 2 && name.size() <= 10 && !standard && !(name.size() == 5 && name.ends_with("VID"));
  }

  [[nodiscard]] bool is_number_plate() const {
    if (separators() != 0 || digits() == 0 || !is_upper_only()) {
      return false;
    }
    if (text_.size() == 17) {
      return digits() >= 3;
    }
    if (text_.size() >= 14) {
      return digits() >= 4 && last_.turns() >= 3;
    }
    return text_.size() >= 9 && text_.size() <= 11 && last_.score() > -10 &&
           std::string_view("ABCDEFGTUW").find(text_[0]) != std::string_view::npos;
  }

  [[nodiscard]] bool has_form() const {
    if (has_sigil(text_) && text_.find(':') != std::string::npos && count(text_, '.') != 0 && letters() >= 4) {
      return true;
    }
    if (lowered(text_).starts_with("ft:") && count(text_, ':') > 2) {
      return true;
    }
    if (text_.size() == 7 && only(text_, is_hex) && lead_ != 0 && !has_upper()) {
      return true;
    }
    return (last_.before == '-' && last_.is_template_hash() && last_.digits() != 0) || ends_in_date() || is_ticket() ||
           is_number_plate();
  }

  [[nodiscard]] bool is_identifier() const {
    return is_number() || is_random() || has_host() || has_identifier() || is_titled() || ends_at_random() ||
           ends_in_number() || has_form();
  }

  [[nodiscard]] bool is_secret() const {
    if (has_host() || marked_) {
      return true;
    }
    if (text_.size() < 32 || is_uuid()) {
      return false;
    }
    const std::string end = lowered(text_).substr(text_.size() - 8);
    const bool repeats = count(end, end[0]) == end.size();
    return (separators() == 0 && !is_mixed() && whole_ > -4 * static_cast<int>(text_.size()) && !repeats) ||
           (count(text_, is_hex) >= 32 && count(text_, is_hex) + separators() == text_.size() && digits() != 0) ||
           is_random();
  }

  const std::string& text_;
  std::vector<Part> parts_;
  const Part& last_;
  std::size_t lead_ = 0;
  std::size_t random_ = 0;
  std::size_t turns_ = 0;
  int score_ = 0;
  int whole_ = 0;
  bool odd_ = false;
  bool marked_ = false;
};

}  // namespace

bool has_sigil(std::string_view text) {
  return !text.empty() && std::string_view("@!#$+").find(text[0]) != std::string_view::npos;
}

PlainSegment classify(const std::string& text) {
  return Segment(text).result();
}

}  // namespace monitor::fuzz
