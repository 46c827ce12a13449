// SPDX-License-Identifier: Apache-2.0
// Reads the files of /proc with as few system calls as they allow. Private to host/. A file that is gone is the
// ordinary case here, so failure is an errno to look at and not yet an Error.
#pragma once

#include <array>
#include <cstddef>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "base/fd.h"

namespace monitor {

// Reads files that the kernel hands out in one piece (stat, statm, cmdline), over and over into the same buffer.
class PieceReader {
 public:
  static constexpr std::size_t kLimit = 32768;

  PieceReader();

  // What one read(2) gives, at most kLimit bytes; valid until the next call. Nothing when the file cannot be read:
  // error() is the errno.
  std::optional<std::string_view> read(const std::string& path);
  int error() const { return error_; }

 private:
  std::unique_ptr<std::array<char, kLimit>> buffer_;
  int error_ = 0;
};

// Reads a long file (net/tcp of a busy machine has tens of megabytes) line by line in constant memory.
class LineReader {
 public:
  explicit LineReader(const std::string& path);

  bool opened() const { return static_cast<bool>(fd_); }

  // The next line without its end; valid until the next call. Nothing at the end of the file, also when reading fails
  // on the way (the namespace went away). A line longer than the buffer comes in parts.
  std::optional<std::string_view> next();

 private:
  static constexpr std::size_t kSize = 65536;

  bool fill();

  Fd fd_;
  std::unique_ptr<std::array<char, kSize>> buffer_;
  std::size_t begin_ = 0;  // of what was read and not yet handed out
  std::size_t end_ = 0;
};

// Takes the next word, set off by blanks, from the front of `text`; empty at its end.
std::string_view take_word(std::string_view& text);

}  // namespace monitor
