// SPDX-License-Identifier: Apache-2.0
#include "sinks/log_file.h"

#include <fcntl.h>

#include <cerrno>
#include <utility>

namespace monitor {
namespace {

Result<Fd> open_to_append(const std::string& path) {
  // O_NONBLOCK: opening a FIFO would wait for a reader, with the signals that end this program blocked.
  Fd file{::open(path.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0644)};
  if (!file) {
    const int saved_errno = errno;
    if (saved_errno == ENXIO) {
      return Error{ErrorCode::kFailed, "open the log file " + path + ": no process reads from it",
                   "start the reader of this FIFO first"};
    }
    Error error = system_error(saved_errno, "open the log file " + path);
    error.hint = saved_errno == ENOENT ? "create its directory" : "";
    return error;
  }
  const int flags = ::fcntl(file.get(), F_GETFL);
  if (flags < 0 || ::fcntl(file.get(), F_SETFL, flags & ~O_NONBLOCK) != 0) {
    return system_error(errno, "open the log file " + path);
  }
  return file;
}

}  // namespace

Result<LogFile> LogFile::open(const std::string& path) {
  LogFile log(path);
  if (path == "-") {
    log.name_ = "standard output";
    return log;
  }
  log.name_ = "the log file " + path;
  TRY(log.reopen());
  return log;
}

Result<Written> LogFile::append(std::string_view line) const {
  return write_line(fd(), line, name_);
}

Status LogFile::reopen() {
  if (path_ == "-") {
    return Ok{};
  }
  Fd file = TRY(open_to_append(path_));
  file_ = std::move(file);
  return Ok{};
}

}  // namespace monitor
