// SPDX-License-Identifier: Apache-2.0
// Folds the identifiers in any path and compares with a second, plain implementation. Also checks that all bytes after
// the path are zero.
#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <initializer_list>
#include <iterator>
#include <string>
#include <string_view>
#include <vector>

#include "parser/trace.h"

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

bool is_joint(char c) {
  return c == '-' || c == '_';
}

char lower(char c) {
  return is_upper(c) ? static_cast<char>(c - 'A' + 'a') : c;
}

std::size_t count(std::string_view text, bool (*is)(char)) {
  return static_cast<std::size_t>(std::count_if(text.begin(), text.end(), is));
}

bool is_uuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  return std::equal(text.begin(), text.end(), kForm.begin(), kForm.end(),
                    [](char c, char form) { return form == '-' ? c == '-' : is_hex(c); });
}

// An escape becomes one byte: "@" for %40, "%" for any other.
std::string without_escapes(std::string_view text) {
  std::string plain;
  for (std::size_t at = 0; at < text.size(); ++at) {
    plain += text[at] == '%' && text.substr(at + 1, 2) == "40" ? '@' : text[at];
    at += text[at] == '%' ? 2 : 0;
  }
  return plain;
}

// The runs of letters and digits in `text`.
std::vector<std::string> parts_of(std::string_view text) {
  std::vector<std::string> parts = {""};
  for (const char c : text) {
    if (is_word(c)) {
      parts.back() += c;
    } else {
      parts.emplace_back();
    }
  }
  return parts;
}

std::size_t changes_of_class(std::string_view part) {
  std::size_t found = 0;
  for (std::size_t at = 1; at < part.size(); ++at) {
    const char before = part[at - 1];
    const char c = part[at];
    const bool has_lower = count(part.substr(0, at), is_lower) != 0;
    found += is_digit(before) != is_digit(c) || (is_lower(before) && is_upper(c)) ||
                     (is_upper(before) && is_upper(c) && has_lower)
                 ? 1
                 : 0;
  }
  return found;
}

// Consonants that follow at least four other ones; a doubled one counts once.
std::size_t clusters_of_consonants(std::string_view part) {
  std::string letters;
  std::size_t found = 0;
  for (const char each : part) {
    const char c = lower(each);
    if (!is_letter(c) || std::string_view("aeiouy").find(c) != std::string_view::npos) {
      letters.clear();
    } else if (letters.empty() || letters.back() != c) {
      letters += c;
      found += letters.size() >= 5 ? 1 : 0;
    }
  }
  return found;
}

std::size_t irregular(std::string_view part) {
  return changes_of_class(part) + clusters_of_consonants(part);
}

std::size_t irregular_parts(std::string_view text) {
  std::size_t found = 0;
  for (const std::string& part : parts_of(text)) {
    found += irregular(part);
  }
  return found;
}

bool is_address_of_interface(std::string_view text) {
  const std::size_t hex = count(text, is_hex);
  const std::size_t separators = text.size() - count(text, is_word);
  return separators >= 3 && hex >= 8 && hex + separators == text.size();
}

bool is_number(std::string_view text) {
  const std::size_t digits = count(text, is_digit);
  const std::size_t letters = count(text, is_letter);
  const bool dotted = text.find('.') != std::string_view::npos;
  return digits != 0 && (digits == text.size() || (text.size() >= 16 && count(text, is_hex) == text.size()) ||
                         (letters == 0 && digits >= (dotted ? 7 : 5)) || is_address_of_interface(text) ||
                         (digits >= 8 && 4 * digits >= 3 * (digits + letters)));
}

bool is_ulid(std::string_view text) {
  return text.size() == 26 && is_digit(text[0]) &&
         std::all_of(text.begin(), text.end(), [](char c) { return is_digit(c) || is_upper(c); });
}

bool is_random(std::string_view text) {
  const std::size_t length = count(text, is_word);
  const std::size_t found = irregular_parts(text);
  if (count(text, is_digit) == 0) {
    return length >= 16 && 20 * found >= 6 * length;
  }
  return length >= 10 && found * (length >= 20 ? 6 : length >= 16 ? 4 : 3) >= length;
}

bool is_address(std::string_view text) {
  const std::size_t at = text.find('@', 1);
  return at != std::string_view::npos && text.find('.', at) != std::string_view::npos;
}

bool is_titled_number(std::string_view text) {
  const std::size_t lead =
      static_cast<std::size_t>(std::find_if_not(text.begin(), text.end(), is_digit) - text.begin());
  return lead != 0 && lead < text.size() && is_joint(text[lead]) && count(text, is_letter) != 0 &&
         (lead > 1 || text.size() - count(text, is_word) > 1);
}

bool is_date(const std::string& text) {
  if (text.size() != 8 || count(text, is_digit) != text.size() || !text.starts_with("20")) {
    return false;
  }
  const int month = std::stoi(text.substr(4, 2));
  const int day = std::stoi(text.substr(6));
  return month >= 1 && month <= 12 && day >= 1 && day <= 31;
}

bool has_number_at_its_end(std::string_view text) {
  const std::vector<std::string> parts = parts_of(text);
  const std::string& last = parts.back();
  const std::size_t digits = count(last, is_digit);
  const auto is_hash = [](const std::string& part) {
    return part.size() >= 8 && count(part, is_hex) == part.size() && count(part, is_digit) >= 2 && irregular(part) >= 2;
  };
  if (std::any_of(parts.begin(), parts.end(), is_hash)) {
    return true;
  }
  const bool version = count(text, is_letter) == 1 && text.starts_with("v");
  const std::size_t first = static_cast<std::size_t>(std::find_if(last.begin(), last.end(), is_digit) - last.begin());
  return digits >= 6 && irregular(last) == 1 && last.size() - first == digits && !version;
}

bool has_random_end(std::string_view text) {
  const std::string last = parts_of(text).back();
  const std::size_t words = count(text, is_word);
  const bool release = text.size() - words > 1 && count(text, is_letter) != 0 && is_date(last);
  if (last.size() >= 6 && count(last, is_digit) == last.size() && last.size() != words && !release) {
    return true;
  }
  bool middle = false;
  for (std::size_t at = 1; at < last.size(); ++at) {
    middle |= is_digit(last[at - 1]) && is_letter(last[at]);
  }
  return last.size() < text.size() && is_joint(text[text.size() - last.size() - 1]) && last.size() >= 10 &&
         (middle || irregular(last) >= 2);
}

bool has_long_run(std::string_view text) {
  std::size_t run = 0;
  return std::any_of(text.begin(), text.end(), [&run](char c) {
    run = is_digit(c) ? run + 1 : 0;
    return run > 8;
  });
}

bool is_identifier(std::string_view segment) {
  const std::string text = without_escapes(segment);
  return has_long_run(text) || is_number(text) || is_uuid(text) || is_ulid(text) || is_random(text) ||
         is_address(text) || is_titled_number(text) || has_random_end(text) || has_number_at_its_end(text);
}

bool has_key_prefix(std::string_view text) {
  const bool mixed = count(text, is_digit) != 0 || irregular_parts(text) != 0;
  const bool long_end = parts_of(text).back().size() >= 16;
  const auto begins = [&](std::initializer_list<std::string_view> heads) {
    return std::any_of(heads.begin(), heads.end(), [&](std::string_view head) { return text.starts_with(head); });
  };
  if (text.size() < 12) {
    return false;
  }
  const bool github = begins({"gh"}) && text[3] == '_';
  return (begins({"eyJ"}) && text.size() >= 16) || (begins({"AKIA", "ASIA", "AIza"}) && text.size() >= 16 && mixed) ||
         ((begins({"sk-", "sk_", "rk_", "hf_"}) || github) && (mixed || long_end)) ||
         (begins({"gsk_", "xai-", "pplx", "nvap", "tvly", "lsv2", "whse", "npm_", "pypi", "dop_", "ya29"}) &&
          text.size() >= 20 && mixed) ||
         (begins({"xox", "xapp-", "glpat"}) && mixed);
}

bool is_secret(std::string_view segment) {
  const std::string text = without_escapes(segment);
  if (is_address(text) || has_key_prefix(text)) {
    return true;
  }
  if (text.size() < 32 || is_uuid(text)) {
    return false;
  }
  const bool one_piece = count(text, is_word) == text.size();
  const bool one_case = count(text, is_lower) == 0 || count(text, is_upper) == 0;
  return (one_piece && one_case && irregular_parts(text) != 0) ||
         (count(text, is_hex) == text.size() && count(text, is_digit) != 0) || is_random(text);
}

// Whether shorter secrets are expected in the segments after this one.
bool precedes_secrets(std::string_view segment) {
  const std::string text = without_escapes(segment);
  if (text.starts_with("bot") && count(text, is_digit) >= 5 && count(text, is_letter) == 3) {
    return true;
  }
  std::string lowered;
  std::transform(text.begin(), text.end(), std::back_inserter(lowered), lower);
  constexpr std::array<std::string_view, 23> kEnds = {
      "reset",   "token",    "tokens",   "verify",   "email", "confirm", "magic", "invite",
      "secret",  "activate", "password", "key",      "auth",  "hook",    "hooks", "login",
      "session", "sessions", "services", "ubscribe", "code",  "link",    "share"};
  return std::any_of(kEnds.begin(), kEnds.end(), [&](std::string_view end) { return lowered.ends_with(end); });
}

bool is_short_secret(std::string_view segment) {
  const std::string text = without_escapes(segment);
  const bool mixed =
      count(text, is_digit) != 0 && count(text, is_upper) != 0 && count(parts_of(text).back(), is_lower) != 0;
  return text.size() >= 8 && count(text, is_digit) != text.size() && (mixed || is_identifier(segment));
}

// Where the segment ends that begins at `begin`.
std::size_t end_of_segment(std::string_view path, std::size_t begin) {
  for (std::size_t at = begin; at < path.size(); ++at) {
    const char next = at + 1 < path.size() ? path[at + 1] : ' ';
    const bool after_digit = at > begin && is_digit(path[begin]);
    if (path[at] == '/' || (path[at] == ':' && (is_letter(next) || (is_digit(next) && !after_digit)))) {
      return at;
    }
  }
  return path.size();
}

bool is_long_name(std::string_view segment) {
  const std::string text = without_escapes(segment);
  return text.size() >= 16 || (text.size() >= 10 && count(text, is_digit) != 0);
}

// The expected result of path_fold, without a limit on its length. `tight`: long names are folded too.
std::string plainly_folded(std::string_view path, fold_mode mode, bool tight) {
  path = path.substr(0, path.find_first_of(" ?#"));
  std::string folded;
  bool expects = false;
  for (std::size_t begin = 0;;) {
    const std::size_t end = end_of_segment(path, begin);
    const std::string_view segment = path.substr(begin, end - begin);
    const bool version = begin != 0 && path[begin - 1] == ':' && without_escapes(segment).size() <= 2;
    if (is_secret(segment) || (expects && is_short_secret(segment)) ||
        (mode == FOLD_IDENTIFIERS && !version && is_identifier(segment)) ||
        (tight && !version && end != path.size() && is_long_name(segment))) {
      folded += mode == FOLD_SECRETS ? "{secret}" : "{id}";
    } else {
      folded += segment;
      expects |= precedes_secrets(segment);
    }
    if (end == path.size()) {
      return folded;
    }
    folded += path[end];
    begin = end + 1;
  }
}

std::string_view path_of(const monitor_endpoint_key& key) {
  return {static_cast<const char*>(key.path), key.path_length};
}

void require(bool condition, const char* what, const monitor_endpoint_key& key) {
  if (!condition) {
    const std::string_view path = path_of(key);
    std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(path.size()), path.data());
    std::abort();
  }
}

bool room_is_clean(const monitor_endpoint_key& key) {
  const char* const path = static_cast<const char*>(key.path);
  return std::all_of(path + key.path_length, path + MONITOR_PATH_SIZE, [](char c) { return c == 0; });
}

// Folds the path of a request line whose target is `path`. Old bytes follow it in the window.
monitor_endpoint_key folded(std::string_view path, fold_mode mode) {
  static fold scratch;
  static http1_window window;
  monitor_endpoint_key key{};

  std::memset(static_cast<void*>(&scratch), '/', sizeof(scratch));
  std::memset(static_cast<void*>(window.bytes), '0', sizeof(window.bytes));
  std::memcpy(static_cast<void*>(window.bytes), path.data(), path.size());
  window.bytes[path.size()] = ' ';
  window.path = 0;
  window.path_end = static_cast<__u32>(path.size());
  window.request_line = HTTP1_LINE_MAY_FOLD;
  path_fold(&key, &scratch, &window, mode);
  return key;
}

void check(std::string_view path, fold_mode mode) {
  const monitor_endpoint_key key = folded(path, mode);
  std::string expected = plainly_folded(path, mode, false);
  if (mode == FOLD_IDENTIFIERS && expected.size() > MONITOR_PATH_SIZE) {
    expected = plainly_folded(path, mode, true);
  }
  const bool cut = expected.size() > MONITOR_PATH_SIZE;
  require(path_of(key) == std::string_view(expected).substr(0, MONITOR_PATH_SIZE), "unexpected path", key);
  require(((key.flags & ENDPOINT_PATH_CUT) != 0) == cut, "wrong ENDPOINT_PATH_CUT", key);
  require(room_is_clean(key), "nonzero bytes after the path", key);
}

}  // namespace
}  // namespace monitor::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= HTTP1_REQUEST_LINE_PREFIX) {
    for (const fold_mode mode : {FOLD_IDENTIFIERS, FOLD_UNMARKED, FOLD_SECRETS}) {
      monitor::fuzz::check({reinterpret_cast<const char*>(data), size}, mode);
    }
  }
  return 0;
}
