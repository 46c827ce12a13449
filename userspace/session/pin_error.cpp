// SPDX-License-Identifier: Apache-2.0
#include "session/pin_error.h"

#include <sys/stat.h>

#include <cerrno>
#include <filesystem>

namespace monitor {
namespace {

// Returns the mount point of the file system that holds the path or, if it does not exist, its nearest ancestor.
std::string mount_point(std::filesystem::path path) {
  struct stat status {};
  while (::stat(path.c_str(), &status) != 0 && path.has_relative_path()) {
    path = path.parent_path();
  }
  for (struct stat parent{}; path.has_relative_path(); path = path.parent_path()) {
    if (::stat(path.parent_path().c_str(), &parent) != 0 || parent.st_dev != status.st_dev) {
      break;
    }
  }
  return path.string();
}

}  // namespace

Error pin_error(int saved_errno, const std::string& what, const std::string& path) {
  const bool refused = saved_errno == EPERM || saved_errno == EACCES;
  Error error = system_error(saved_errno, what + path, refused ? ErrorCode::kNotPermitted : ErrorCode::kFailed);
  if (saved_errno == EROFS) {
    error.hint = "remount it: mount -o remount,rw " + mount_point(path);
  } else if (saved_errno == ENOMEM || saved_errno == ENOSPC) {
    error.hint = "the kernel, or this process's control group, is out of memory";
  } else if (refused) {
    error.hint = "run it as root, for example with sudo";
  }
  return error;
}

}  // namespace monitor
