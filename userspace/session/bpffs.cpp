// SPDX-License-Identifier: Apache-2.0
#include "session/bpffs.h"

#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include <cerrno>
#include <filesystem>

#include "base/fd.h"
#include "session/directory_lock.h"
#include "session/pin_error.h"

namespace monitor {
namespace {

constexpr const char* kMountPoint = "/sys/fs/bpf";

bool is_bpffs(const std::string& path) {
  struct statfs status {};
  return ::statfs(path.c_str(), &status) == 0 && status.f_type == BPF_FS_MAGIC;
}

// Under a lock: two processes at once must not mount it twice, one over the other.
Status mount_bpffs() {
  const Fd lock = TRY(lock_directory(kMountPoint, LOCK_EX));
  if (is_bpffs(kMountPoint)) {
    return Ok{};
  }
  if (::mount("bpf", kMountPoint, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") != 0) {
    return pin_error(errno, "mount the BPF file system at ", kMountPoint);
  }
  return Ok{};
}

}  // namespace

Status require_bpffs(const std::string& directory) {
  const std::string parent = std::filesystem::path(directory).parent_path().string();
  if (parent == kMountPoint && !is_bpffs(parent)) {
    TRY(mount_bpffs());
  }
  if (!is_bpffs(parent) && !is_bpffs(directory)) {
    return Error{ErrorCode::kFailed, "pin under " + directory + ": " + parent + " is not a BPF file system",
                 std::string("omit --pins, or name a directory on one: mount -t bpf bpf ") + parent};
  }
  return Ok{};
}

}  // namespace monitor
