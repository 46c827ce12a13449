// SPDX-License-Identifier: Apache-2.0
// Folds the identifiers in any path and compares with a second, plain implementation. Also checks that all bytes after
// the path are zero.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "fuzz/plain_segment.h"
#include "parser/trace.h"

namespace monitor::fuzz {
namespace {

int hex_value(char c) {
  constexpr std::string_view kDigits = "0123456789abcdef";
  const char lower = c >= 'A' && c <= 'F' ? static_cast<char>(c - 'A' + 'a') : c;
  const std::size_t at = kDigits.find(lower);
  return at == std::string_view::npos ? -1 : static_cast<int>(at);
}

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_letter(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// A piece of a path up to "/", a parenthesis, or a ":" that ends it; `end` is that byte, or 0.
struct Piece {
  std::string raw;
  std::string plain;  // without escapes
  char end = 0;
  std::size_t begin = 0;
};

bool ends_piece(char c, char next, std::string_view plain) {
  if (c == '/' || c == '(' || c == ')') {
    return true;
  }
  if (c != ':' || has_sigil(plain)) {
    return false;
  }
  const std::size_t last = plain.find_last_not_of("0123456789");
  const std::size_t run = plain.size() - (last == std::string_view::npos ? 0 : last + 1);
  return is_letter(next) || (is_digit(next) && (plain.empty() || !is_digit(plain[0])) && run != 2);
}

std::vector<Piece> pieces_of(std::string_view path) {
  std::vector<Piece> pieces(1);
  for (std::size_t at = 0; at < path.size(); ++at) {
    const char c = path[at];
    const char next = at + 1 < path.size() ? path[at + 1] : ' ';
    if (ends_piece(c, next, pieces.back().plain)) {
      pieces.back().end = c;
      pieces.push_back({"", "", 0, at + 1});
      continue;
    }
    if (c == '%' && at + 2 < path.size() && hex_value(path[at + 1]) >= 0 && hex_value(path[at + 2]) >= 0) {
      pieces.back().raw += path.substr(at, 3);
      pieces.back().plain += static_cast<char>(hex_value(path[at + 1]) * 16 + hex_value(path[at + 2]));
      at += 2;
      continue;
    }
    pieces.back().raw += c;
    pieces.back().plain += c;
  }
  return pieces;
}

// What has room for a path.
class Output {
 public:
  void put(std::string_view text) {
    for (const char c : text) {
      if (text_.size() >= MONITOR_PATH_SIZE || full_) {
        overflow_ = true;
      } else {
        text_ += c;
      }
    }
  }
  void replace(std::size_t from, std::string_view name) {
    text_.resize(std::min(from, text_.size()));
    full_ |= from + name.size() > MONITOR_PATH_SIZE;
    overflow_ = full_;
    put(name);
  }
  void end_piece() { full_ |= overflow_; }
  [[nodiscard]] const std::string& text() const { return text_; }
  [[nodiscard]] bool overflow() const { return overflow_; }
  [[nodiscard]] bool full() const { return full_; }

 private:
  std::string text_;
  bool overflow_ = false;
  bool full_ = false;
};

// Folds pieces, and remembers what it saw: secrets may be expected in later ones.
class Folder {
 public:
  Folder(fold_mode mode, bool tight) : mode_(mode), tight_(tight) {}

  void fold(const std::vector<Piece>& pieces, Output& output) {
    char before = '/';
    begin_whole(output);
    for (const Piece& piece : pieces) {
      const std::size_t start = output.text().size();
      output.put(piece.raw);
      end(piece, before, start, &piece == &pieces.back(), output);
      if (piece.end == 0) {
        return;
      }
      output.put({&piece.end, 1});
      colons_ += piece.end == ':' ? 1 : 0;
      before = piece.end;
      if (before == '/') {
        begin_whole(output);
        if (output.text().size() <= FOLD_KEPT + 1 && !output.full()) {
          kept_ = output.text().size() - 1;
        }
      } else {
        whole_text_ += piece.end;
      }
    }
  }

  // The last slash that stays where "{path}" stands for the middle.
  [[nodiscard]] std::size_t kept() const { return kept_; }

  // Where the text after the last slash begins.
  [[nodiscard]] std::size_t whole() const { return whole_; }

 private:
  void begin_whole(const Output& output) {
    whole_ = output.text().size();
    whole_text_.clear();
    colons_ = 0;
    address_ = true;
    digit_ = false;
  }

  // Whether all since the last slash is one identifier: an address or a fine-tuned model.
  [[nodiscard]] bool is_whole() const {
    return (tuned_ && colons_ > 2) ||
           (address_ && digit_ && (whole_text_.find("::") != std::string::npos || colons_ == 5 || colons_ == 7));
  }

  void end(const Piece& piece, char before, std::size_t start, bool last, Output& output) {
    const PlainSegment segment = classify(piece.plain);
    if (whole_text_.empty()) {
      tuned_ = piece.end == ':' && piece.plain.size() == 2 && (piece.plain[0] | 0x20) == 'f' &&
               (piece.plain[1] | 0x20) == 't';
    }
    whole_text_ += piece.plain;
    colons_ += segment.colons;
    address_ &= segment.hexadecimal;
    digit_ |= segment.has_digit;
    const bool identifiers = mode_ == FOLD_IDENTIFIERS;
    const bool ends = piece.end == 0 || piece.end == '/';
    const bool whole = identifiers && ends && is_whole();
    const bool version = before == ':' && piece.plain.size() <= 2;
    const bool named =
        std::any_of(piece.plain.begin(), piece.plain.end(), [](char c) { return is_letter(c) || is_digit(c); });
    const bool literal = before == '(' && named && (segment.has_equals || piece.plain.starts_with('\''));
    const bool identifier =
        !version && (literal || segment.identifier || doi_ || (tight_ && !last && segment.long_name));
    const bool folds = segment.secret || (expects_ && segment.short_secret) || (identifiers && (whole || identifier));
    doi_ = ends && segment.doi_prefix;
    if (folds) {
      output.replace(whole ? whole_ : start, mode_ == FOLD_SECRETS ? "{secret}" : "{id}");
      return;
    }
    output.end_piece();
    expects_ |= segment.precedes_secrets;
  }

  fold_mode mode_;
  bool tight_;
  bool expects_ = false;
  bool doi_ = false;
  bool address_ = true;
  bool digit_ = false;
  bool tuned_ = false;  // begins with "ft:"
  std::size_t kept_ = 0;
  std::size_t whole_ = 0;
  std::size_t colons_ = 0;
  std::string whole_text_;  // without escapes
};

// The expected result of path_fold.
Output plainly_folded(std::string_view path, fold_mode mode) {
  path = path.substr(0, path.find_first_of(" ?#"));
  const std::vector<Piece> pieces = pieces_of(path);
  Output output;
  Folder(mode, false).fold(pieces, output);
  if (!output.overflow() || mode != FOLD_IDENTIFIERS) {
    return output;
  }
  output = {};
  Folder folder(mode, true);
  folder.fold(pieces, output);
  if (!output.overflow() || folder.whole() <= folder.kept() + 1) {
    return output;
  }
  Output shortened;
  shortened.put(output.text().substr(0, folder.kept()));
  shortened.put("/{path}/");
  const std::size_t slash = path.rfind('/');
  folder.fold(pieces_of(path.substr(slash == std::string_view::npos ? 0 : slash + 1)), shortened);
  return shortened;
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
  const Output expected = plainly_folded(path, mode);
  require(path_of(key) == expected.text(), "unexpected path", key);
  require(((key.flags & ENDPOINT_PATH_CUT) != 0) == expected.overflow(), "wrong ENDPOINT_PATH_CUT", key);
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
