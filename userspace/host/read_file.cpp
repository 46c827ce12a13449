// SPDX-License-Identifier: Apache-2.0
// Reads a file with one read(2) if the kernel returns it whole, otherwise piece by piece through one buffer.
#include "host/read_file.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace monitor {
namespace {

ssize_t read_retrying(int fd, char* into, std::size_t size) {
  ssize_t got = 0;
  do {
    got = ::read(fd, into, size);
  } while (got < 0 && errno == EINTR);
  return got;
}

}  // namespace

PieceReader::PieceReader() : buffer_(std::make_unique_for_overwrite<std::array<char, kLimit>>()) {}

std::optional<std::string_view> PieceReader::read(const std::string& path) {
  const Fd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  const ssize_t got = fd ? read_retrying(fd.get(), buffer_->data(), kLimit) : -1;
  if (got < 0) {
    error_ = errno;
    return std::nullopt;
  }
  error_ = 0;
  return std::string_view(buffer_->data(), static_cast<std::size_t>(got));
}

LineReader::LineReader(const std::string& path)
    : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC)),
      buffer_(std::make_unique_for_overwrite<std::array<char, kSize>>()) {}

std::optional<std::string_view> LineReader::next() {
  std::size_t searched = 0;
  for (;;) {
    const std::string_view unread(buffer_->data() + begin_, end_ - begin_);
    const std::size_t line_end = unread.find('\n', searched);
    if (line_end != std::string_view::npos) {
      begin_ += line_end + 1;
      return unread.substr(0, line_end);
    }
    searched = unread.size();
    if (!fill()) {
      break;
    }
  }
  const std::string_view rest(buffer_->data() + begin_, end_ - begin_);
  begin_ = end_;
  return rest.empty() ? std::nullopt : std::optional(rest);
}

// Appends to the bytes that are not yet returned. False at the end of the file, or if one line fills the buffer.
bool LineReader::fill() {
  if (begin_ > 0) {
    std::memmove(buffer_->data(), buffer_->data() + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
  }
  if (!fd_ || end_ == kSize) {
    return false;
  }
  const ssize_t got = read_retrying(fd_.get(), buffer_->data() + end_, kSize - end_);
  end_ += static_cast<std::size_t>(std::max<ssize_t>(got, 0));
  return got > 0;
}

std::string_view take_word(std::string_view& text) {
  constexpr std::string_view kBlanks = " \t\n";
  text.remove_prefix(std::min(text.find_first_not_of(kBlanks), text.size()));
  const std::string_view word = text.substr(0, text.find_first_of(kBlanks));
  text.remove_prefix(word.size());
  return word;
}

}  // namespace monitor
