// SPDX-License-Identifier: Apache-2.0
#include "base/output_file.h"

#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <optional>
#include <string>

#include "base/signals.h"

namespace monitor {
namespace {

constexpr int kWaitMilliseconds = 100;
constexpr int kWaitsAfterStop = 10;

// Returns once a write will not block, or once poll fails: the write then reports the reason.
Status wait_writable(int fd, std::string_view name) {
  for (int waits_after_stop = 0;;) {
    pollfd poll{fd, POLLOUT, 0};
    const int ready = ::poll(&poll, 1, kWaitMilliseconds);
    if (ready > 0 || (ready < 0 && errno != EINTR)) {
      return Ok{};
    }
    if (stop_is_pending() && ++waits_after_stop > kWaitsAfterStop) {
      return Error{ErrorCode::kFailed, "write to " + std::string(name) + ": its reader does not read; stopped", ""};
    }
  }
}

// A writable pipe or socket takes PIPE_BUF bytes without blocking (pipe(7)); more may block.
std::size_t most_at_once(int fd) {
  struct stat status {};
  const bool stream = ::fstat(fd, &status) == 0 && (S_ISFIFO(status.st_mode) || S_ISSOCK(status.st_mode));
  return stream ? PIPE_BUF : SSIZE_MAX;
}

// Writing to a terminal that hung up fails with EIO. By then isatty(3) no longer recognises it.
bool reader_is_gone(int saved_errno, int fd) {
  struct stat status {};
  return saved_errno == EPIPE || saved_errno == ECONNRESET ||
         (saved_errno == EIO && ::fstat(fd, &status) == 0 && S_ISCHR(status.st_mode));
}

Error write_error(int saved_errno, std::string_view name) {
  Error error = system_error(saved_errno, "write to " + std::string(name));
  if (saved_errno == ENOSPC || saved_errno == EDQUOT) {
    error.hint = "free some space there";
  }
  return error;
}

// Writes once, and again only if nothing was written. Returns the number of bytes written; empty if the reader is gone.
Result<std::optional<std::size_t>> write_once(int fd, std::string_view text, std::string_view name) {
  for (;;) {
    TRY(wait_writable(fd, name));
    const ssize_t count = ::write(fd, text.data(), text.size());
    const int saved_errno = errno;
    if (count >= 0) {
      return std::optional(static_cast<std::size_t>(count));
    }
    if (reader_is_gone(saved_errno, fd)) {
      return std::optional<std::size_t>();
    }
    // EAGAIN: a process that shares the descriptor made it non-blocking, and another writer filled it first.
    if (saved_errno != EINTR && saved_errno != EAGAIN) {
      return write_error(saved_errno, name);
    }
  }
}

}  // namespace

Result<Written> write_all(int fd, std::string_view text, std::string_view name) {
  const std::size_t most = most_at_once(fd);
  while (!text.empty()) {
    const std::optional<std::size_t> taken = TRY(write_once(fd, text.substr(0, most), name));
    if (!taken) {
      return Written::kReaderGone;
    }
    text.remove_prefix(*taken);
  }
  return Written::kWhole;
}

Result<Written> write_line(int fd, std::string_view line, std::string_view name) {
  const std::optional<std::size_t> taken = TRY(write_once(fd, line, name));
  if (!taken) {
    return Written::kReaderGone;
  }
  if (*taken != line.size()) {
    return Error{ErrorCode::kFailed,
                 "write to " + std::string(name) + ": only " + std::to_string(*taken) + " of a line's " +
                     std::to_string(line.size()) + " bytes were taken",
                 "check the free space"};
  }
  return Written::kWhole;
}

}  // namespace monitor
