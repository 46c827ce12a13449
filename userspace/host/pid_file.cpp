// SPDX-License-Identifier: Apache-2.0
// A pid file is written by others and may be anything by the time we read it: we run as root, so nothing but a regular
// file is read, and what it holds is escaped before it is shown.
#include "host/pid_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <string_view>

#include "base/fd.h"
#include "host/command_line.h"

namespace monitor {
namespace {

constexpr std::size_t kMostBytes = 64;
constexpr std::size_t kContentShown = 24;  // enough to see what went wrong, too little to read other people's files by
constexpr std::size_t kNameShown = 4096;

std::string pid_file_called(const std::string& path) {
  return "PID file " + shown(path, kNameShown);
}

Error bad_pid_file(const std::string& path, const std::string& why) {
  return Error{ErrorCode::kNoTarget, pid_file_called(path) + " " + why,
               "the file should hold the server's pid in decimal; --pid N names the server directly"};
}

Error unreadable(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return Error{ErrorCode::kNoTarget, no_pid_file(path), "start the server, or name a running one with --pid N"};
  }
  return bad_pid_file(path, std::string("cannot be read: ") + std::strerror(error));
}

Error not_regular(const std::string& path, mode_t mode) {
  return bad_pid_file(path, S_ISDIR(mode) ? "is a directory" : "is not a regular file");
}

// Looked at before it is opened, since opening a device can do things; and again after, since the name may have been
// given to something else in between. O_NONBLOCK: a FIFO that slipped in there must not make us wait for its writer.
Result<Fd> open_regular(const std::string& path) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0) {
    return unreadable(path, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return not_regular(path, status.st_mode);
  }
  Fd fd(::open(path.c_str(), O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC));
  if (!fd || ::fstat(fd.get(), &status) != 0) {
    return unreadable(path, errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return not_regular(path, status.st_mode);
  }
  return fd;
}

// At most `bytes.size()` bytes of the file; the errno when it cannot be read.
int read_start(int fd, std::array<char, kMostBytes + 1>& bytes, std::size_t& size) {
  while (size < bytes.size()) {
    const ssize_t got = ::read(fd, bytes.data() + size, bytes.size() - size);
    if (got < 0 && errno == EINTR) {
      continue;
    }
    if (got <= 0) {
      return got < 0 ? errno : 0;
    }
    size += static_cast<std::size_t>(got);
  }
  return 0;
}

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

Result<pid_t> parse_pid(const std::string& path, std::string_view content) {
  const std::string_view text = without_blanks(content);
  const std::string quoted = "\"" + shown(text, kContentShown) + "\"";
  if (content.size() > kMostBytes) {
    return bad_pid_file(path, "holds more than a pid: it begins " + quoted);
  }
  if (text.empty()) {
    return bad_pid_file(path, content.empty() ? "is empty" : "holds nothing but blanks");
  }
  pid_t pid = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), pid);
  if (error == std::errc::invalid_argument || end != text.data() + text.size()) {
    return bad_pid_file(path, "does not hold a pid but " + quoted);
  }
  if (error != std::errc() || pid <= 0) {
    return bad_pid_file(path, "holds " + quoted + ", which no process can have as its pid");
  }
  return pid;
}

}  // namespace

std::string no_pid_file(const std::string& path) {
  return "Proxy is not running (no PID file): " + shown(path, kNameShown) + " does not exist";
}

bool pid_file_exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

Result<pid_t> read_pid_file(const std::string& path) {
  const auto fd = open_regular(path);
  if (!fd) {
    return fd.error();
  }
  std::array<char, kMostBytes + 1> bytes{};
  std::size_t size = 0;
  if (const int error = read_start(fd->get(), bytes, size); error != 0) {
    return unreadable(path, error);
  }
  return parse_pid(path, std::string_view(bytes.data(), size));
}

}  // namespace monitor
