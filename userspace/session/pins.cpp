// SPDX-License-Identifier: Apache-2.0
#include "session/pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <sys/file.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>

namespace monitor {
namespace {

constexpr const char* kMountPoint = "/sys/fs/bpf";
constexpr mode_t kOwnerOnly = 0700;
constexpr std::array<const char*, 2> kLeftovers = {"new", "old"};
constexpr std::chrono::seconds kLockPatience{5};
constexpr std::chrono::milliseconds kLockPause{5};

// Checks the effective ids and capabilities, as open(2) does; access(2) would check the real user.
bool may(const std::string& path, int mode) {
  return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

bool exists(const std::string& path) {
  return may(path, F_OK);
}

bool is_bpffs(const std::string& path) {
  struct statfs status {};
  return ::statfs(path.c_str(), &status) == 0 && status.f_type == BPF_FS_MAGIC;
}

// Returns the mount point of the file system that the path, or the part of it that exists, lies on.
std::string mount_point(std::filesystem::path path) {
  struct stat below {};
  while (::stat(path.c_str(), &below) != 0 && path.has_relative_path()) {
    path = path.parent_path();
  }
  for (struct stat above{}; path.has_relative_path(); path = path.parent_path()) {
    if (::stat(path.parent_path().c_str(), &above) != 0 || above.st_dev != below.st_dev) {
      break;
    }
  }
  return path.string();
}

// An error that says what failed and where, with a hint for the usual reasons.
Error pin_error(int saved_errno, const std::string& what, const std::string& where) {
  const bool refused = saved_errno == EPERM || saved_errno == EACCES;
  Error error = system_error(saved_errno, what + where, refused ? ErrorCode::kNotPermitted : ErrorCode::kFailed);
  if (saved_errno == EROFS) {
    error.hint = "remount it: mount -o remount,rw " + mount_point(where);
  } else if (saved_errno == ENOMEM || saved_errno == ENOSPC) {
    error.hint = "the kernel, or this process's control group, is out of memory";
  } else if (refused) {
    error.hint = "run it as root, for example with sudo";
  }
  return error;
}

Status make(const std::string& directory) {
  if (::mkdir(directory.c_str(), kOwnerOnly) != 0 && errno != EEXIST) {
    return pin_error(errno, "make the directory ", directory);
  }
  return Ok{};
}

// Whether the path still names the file of the descriptor.
bool is_still(int fd, const std::string& path) {
  struct stat opened {};
  struct stat named {};
  return ::fstat(fd, &opened) == 0 && ::stat(path.c_str(), &named) == 0 && opened.st_dev == named.st_dev &&
         opened.st_ino == named.st_ino;
}

// Locks the directory, and waits a few seconds for other processes. Starts again if the path names another directory by
// then. With `make_it`, makes a directory that is missing: a detaching process can remove it between any two steps.
Result<Fd> lock_directory(const std::string& path, int operation, bool make_it = false) {
  const auto deadline = std::chrono::steady_clock::now() + kLockPatience;
  for (;;) {
    if (make_it) {
      TRY(make(path));
    }
    Fd directory{::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
    if (!directory) {
      if (make_it && errno == ENOENT) {
        continue;
      }
      return pin_error(errno, "open ", path);
    }
    while (::flock(directory.get(), operation | LOCK_NB) != 0) {
      if (errno != EWOULDBLOCK && errno != EINTR) {
        return pin_error(errno, "lock ", path);
      }
      if (std::chrono::steady_clock::now() > deadline) {
        return Error{ErrorCode::kFailed, "lock " + path + ": another monitor has held it for 5 seconds",
                     "see which: fuser -v " + path};
      }
      std::this_thread::sleep_for(kLockPause);
    }
    if (is_still(directory.get(), path)) {
      return directory;
    }
  }
}

// Under a lock: two processes at once must not mount it twice, one over the other.
Status mount_bpffs() {
  const Fd locked = TRY(lock_directory(kMountPoint, LOCK_EX));
  if (is_bpffs(kMountPoint)) {
    return Ok{};
  }
  if (::mount("bpf", kMountPoint, "bpf", MS_NOSUID | MS_NODEV | MS_NOEXEC, "mode=700") != 0) {
    return pin_error(errno, "mount the BPF file system at ", kMountPoint);
  }
  return Ok{};
}

}  // namespace

std::string Pins::path(const std::string& kind, const std::string& name) const {
  return directory_ + "/engine/" + kind + "/" + name;
}

bool Pins::has(const std::string& kind, const std::string& name) const {
  return exists(path(kind, name));
}

bool Pins::exist() const {
  return exists(directory_ + "/engine");
}

bool Pins::has_any() const {
  return exists(directory_);
}

Status Pins::check_visible() const {
  const bool hidden = !may(directory_, R_OK | X_OK) && errno == EACCES;
  return hidden ? Status(pin_error(EACCES, "look for an engine at ", directory_)) : Status(Ok{});
}

bool Pins::need_capability() const {
  struct stat status {};
  return ::geteuid() != 0 || (::stat(directory_.c_str(), &status) == 0 && status.st_uid != 0);
}

void Pins::clear_leftovers() const {
  const bool left = std::any_of(kLeftovers.begin(), kLeftovers.end(),
                                [this](const char* name) { return exists(directory_ + "/" + name); });
  if (!left && (exist() || !has_any())) {
    return;
  }
  const Fd directory{::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory || ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0 || !is_still(directory.get(), directory_)) {
    return;
  }
  for (const char* leftover : kLeftovers) {
    static_cast<void>(clear(leftover));
  }
  tidy();
}

std::uint64_t Pins::identity() const {
  struct stat status {};
  return ::stat((directory_ + "/engine").c_str(), &status) == 0 ? status.st_ino : 0;
}

void Pins::tidy() const {
  ::rmdir(directory_.c_str());  // fails if it holds an engine, or files of another program
}

// Fails unless pins can be made in the directory.
Status Pins::check_place() const {
  const std::string parent = std::filesystem::path(directory_).parent_path().string();
  if (parent == kMountPoint && !is_bpffs(parent)) {
    TRY(mount_bpffs());
  }
  if (!is_bpffs(parent) && !is_bpffs(directory_)) {
    return Error{ErrorCode::kFailed, "pin under " + directory_ + ": " + parent + " is not a BPF file system",
                 std::string("omit --pins, or name a directory on one: mount -t bpf bpf ") + parent};
  }
  return Ok{};
}

Result<PinLock> Pins::lock(int operation, Missing missing) const {
  PinLock held(TRY(lock_directory(directory_, operation, missing == Missing::kIsMade)), operation == LOCK_EX);
  for (const char* leftover : kLeftovers) {
    if (held.exclusive()) {
      TRY(clear(leftover));
    }
  }
  return held;
}

Result<PinLock> Pins::lock_exclusive() const {
  return lock(LOCK_EX);
}

Result<PinLock> Pins::make_and_lock() const {
  TRY(check_place());
  return lock(LOCK_EX, Missing::kIsMade);
}

Result<PinLock> Pins::lock_shared() const {
  return lock(LOCK_SH);
}

Result<Fd> Pins::open_lock() const {
  Fd directory{::open(directory_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  if (!directory) {
    return pin_error(errno, "open ", directory_);
  }
  return directory;
}

Status Pins::clear(const std::string& name) const {
  std::error_code error;
  const std::string whole = directory_ + "/" + name;
  std::filesystem::remove_all(whole + "/links", error);  // first, so that nothing runs any more
  std::filesystem::remove_all(whole, error);
  if (error) {
    return pin_error(error.value(), "remove ", whole);
  }
  return Ok{};
}

Status Pins::remove(const PinLock& /*lock*/) const {
  const std::string there = directory_ + "/engine";
  if (::rename(there.c_str(), (directory_ + "/old").c_str()) != 0 && errno != ENOENT) {
    return pin_error(errno, "remove ", there);
  }
  TRY(clear("old"));
  tidy();
  return Ok{};
}

Result<Fd> Pins::view(unsigned target) const {
  const std::string name = path("viewers", std::to_string(target));
  Fd directory{::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  // Waits, since is_viewed in another process holds the lock for an instant.
  if (!directory || ::flock(directory.get(), LOCK_SH) != 0) {
    Error error = pin_error(errno, "look at ", name);
    if (error.hint.empty()) {
      error.hint = "run monitor detach --all, then attach again";
    }
    return error;
  }
  return directory;
}

bool Pins::is_viewed(unsigned target) const {
  const Fd directory{::open(path("viewers", std::to_string(target)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0;
}

Status Pins::store(const std::vector<Item>& items, unsigned targets, const PinLock& /*lock*/) const {
  const std::string building = directory_ + "/new";
  const auto build = [&]() -> Status {
    for (const char* part : {"", "/maps", "/programs", "/links", "/viewers"}) {
      TRY(make(building + part));
    }
    for (unsigned target = 0; target < targets; ++target) {
      TRY(make(building + "/viewers/" + std::to_string(target)));
    }
    for (const Item& item : items) {
      const std::string name = building + "/" + item.kind + "/" + item.name;
      if (bpf_obj_pin(item.fd, name.c_str()) != 0) {
        return pin_error(errno, "pin ", name);
      }
    }
    if (::rename(building.c_str(), (directory_ + "/engine").c_str()) != 0) {
      return pin_error(errno, "publish the pinned engine: rename ", building);
    }
    return Ok{};
  };
  Status status = build();
  if (!status) {
    static_cast<void>(clear("new"));
  }
  return status;
}

Status Pins::add(const Item& item) const {
  if (bpf_obj_pin(item.fd, path(item.kind, item.name).c_str()) != 0) {
    return pin_error(errno, "pin ", path(item.kind, item.name));
  }
  return Ok{};
}

Status Pins::drop(const std::string& kind, const std::string& name) const {
  if (::unlink(path(kind, name).c_str()) != 0 && errno != ENOENT) {
    return pin_error(errno, "remove ", path(kind, name));
  }
  return Ok{};
}

Result<Fd> Pins::open(const std::string& kind, const std::string& name) const {
  Fd fd{bpf_obj_get(path(kind, name).c_str())};
  if (!fd) {
    return pin_error(errno, "open ", path(kind, name));
  }
  return fd;
}

}  // namespace monitor
