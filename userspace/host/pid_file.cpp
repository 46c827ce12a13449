// SPDX-License-Identifier: Apache-2.0
// Others write the PID file, so it can be anything by the time we read it. We run as root: we read only regular files,
// and escape their content before we show it.
#include "host/pid_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <charconv>
#include <climits>
#include <cstring>
#include <string_view>

#include "base/fd.h"
#include "host/command_line.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxBytes = 64;
constexpr std::size_t kMaxQuoted = 24;  // enough to see what is wrong, too little to leak other users' files

Error bad_pid_file(const std::string& path, const std::string& why) {
  return Error{ErrorCode::kNoTarget, "PID file " + printable(path, PATH_MAX) + " " + why,
               "the file should hold the server's pid in decimal; --pid N names the server directly"};
}

Error unreadable(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) {
    return Error{ErrorCode::kNoTarget, missing_pid_file(path), "start the server, or name a running one with --pid N"};
  }
  return bad_pid_file(path, std::string("cannot be read: ") + std::strerror(error));
}

Error not_regular(const std::string& path, mode_t mode) {
  return bad_pid_file(path, S_ISDIR(mode) ? "is a directory" : "is not a regular file");
}

// Checks the file type before opening, because opening a device can have side effects, and again after, because the
// name may refer to another file by then. O_NONBLOCK: if that file is a FIFO, open must not wait for its writer.
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

// One byte more than a valid file holds, to detect a longer one.
using Content = std::array<char, kMaxBytes + 1>;

// Reads up to bytes.size() bytes and sets `size` to their number. Returns 0, or the errno of a failed read.
int read_start(int fd, Content& bytes, std::size_t& size) {
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

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  return begin == std::string_view::npos ? "" : text.substr(begin, text.find_last_not_of(kBlanks) + 1 - begin);
}

Result<pid_t> parse_pid(const std::string& path, std::string_view content) {
  const std::string_view text = trim(content);
  const std::string quoted = "\"" + printable(text, kMaxQuoted) + "\"";
  if (content.size() > kMaxBytes) {
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

std::string missing_pid_file(const std::string& path) {
  return "Proxy is not running (no PID file): " + printable(path, PATH_MAX) + " does not exist";
}

bool pid_file_exists(const std::string& path) {
  struct stat status {};
  return ::stat(path.c_str(), &status) == 0 || (errno != ENOENT && errno != ENOTDIR);
}

Result<pid_t> read_pid_file(const std::string& path) {
  const Fd fd = TRY(open_regular(path));
  Content bytes{};
  std::size_t size = 0;
  if (const int error = read_start(fd.get(), bytes, size); error != 0) {
    return unreadable(path, error);
  }
  return parse_pid(path, std::string_view(bytes.data(), size));
}

}  // namespace monitor
