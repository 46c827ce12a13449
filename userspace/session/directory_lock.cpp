// SPDX-License-Identifier: Apache-2.0
#include "session/directory_lock.h"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "session/pin_error.h"

namespace monitor {
namespace {

constexpr mode_t kOwnerOnly = 0700;
constexpr std::chrono::seconds kLockPatience{5};
constexpr std::chrono::milliseconds kLockPause{5};

Fd open_at(const std::string& path) {
  return Fd{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
}

// Whether the path still names the file of the descriptor.
bool names(const std::string& path, int fd) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

// Waits for the lock of a directory that is open.
Status wait_for_lock(int fd, int operation, const std::string& path, std::chrono::steady_clock::time_point deadline) {
  while (::flock(fd, operation | LOCK_NB) != 0) {
    if (errno != EWOULDBLOCK && errno != EINTR) {
      return pin_error(errno, "lock ", path);
    }
    if (std::chrono::steady_clock::now() > deadline) {
      return Error{ErrorCode::kFailed, "lock " + path + ": another monitor has held it for 5 seconds",
                   "see which: fuser -v " + path};
    }
    std::this_thread::sleep_for(kLockPause);
  }
  return Ok{};
}

}  // namespace

Status make_directory(const std::string& path) {
  if (::mkdir(path.c_str(), kOwnerOnly) != 0 && errno != EEXIST) {
    return pin_error(errno, "make the directory ", path);
  }
  return Ok{};
}

Result<Fd> open_directory(const std::string& path) {
  Fd directory = open_at(path);
  if (!directory) {
    return pin_error(errno, "open ", path);
  }
  return directory;
}

// A process that detaches can remove the directory between any two of these steps.
Result<Fd> lock_directory(const std::string& path, int operation, IfMissing missing) {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    if (missing == IfMissing::kMake) {
      TRY(make_directory(path));
    }
    Fd directory = open_at(path);
    if (!directory) {
      if (missing == IfMissing::kMake && errno == ENOENT) {
        continue;
      }
      return pin_error(errno, "open ", path);
    }
    TRY(wait_for_lock(directory.get(), operation, path, deadline));
    if (names(path, directory.get())) {
      return directory;
    }
  }
}

Fd try_lock_directory(const std::string& path) {
  Fd directory = open_at(path);
  const bool locked = directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) == 0 && names(path, directory.get());
  return locked ? std::move(directory) : Fd();
}

}  // namespace monitor
