// SPDX-License-Identifier: Apache-2.0
// Reads the files of /proc with as few system calls as possible. Private to host/. A missing file is normal here, so a
// failure is an errno for the caller to judge, not yet an Error.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace monitor {

// Reads files that the kernel returns whole from one read(2) (stat, statm, cmdline), all into the same buffer.
class PieceReader {
 public:
  static constexpr std::size_t kLimit = 32768;

  PieceReader();

  // The bytes that one read(2) returns, at most kLimit; valid until the next call. nullopt if the file cannot be read:
  // then error() is the errno.
  std::optional<std::string_view> read(const std::string& path);
  int error() const { return error_; }

 private:
  std::unique_ptr<std::array<char, kLimit>> buffer_;
  int error_ = 0;
};

// Reads a long file line by line in constant memory. On a busy machine net/tcp has tens of megabytes.
class LineReader {
 public:
  explicit LineReader(const std::string& path);

  bool opened() const { return static_cast<bool>(fd_); }

  // The next line without its newline; valid until the next call. nullopt at the end of the file, and also if a read
  // fails because the namespace is gone. A line longer than the buffer comes in parts.
  std::optional<std::string_view> next();

 private:
  static constexpr std::size_t kSize = 65536;

  bool fill();

  Fd fd_;
  std::unique_ptr<std::array<char, kSize>> buffer_;
  std::size_t begin_ = 0;  // [begin_, end_) of the buffer is read but not yet returned
  std::size_t end_ = 0;
};

// Removes the next word, delimited by whitespace, from the front of `text` and returns it; empty at the end of `text`.
std::string_view take_word(std::string_view& text);

}  // namespace monitor
