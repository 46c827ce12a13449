// SPDX-License-Identifier: Apache-2.0
#include "session/pins.h"

#include <bpf/bpf.h>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdio>
#include <filesystem>
#include <system_error>
#include <utility>

#include "session/bpffs.h"
#include "session/directory_lock.h"
#include "session/pin_error.h"

namespace monitor {
namespace {

constexpr std::array<const char*, 2> kLeftovers = {"new", "old"};

// Checks the effective ids and capabilities, as open(2) does; access(2) would check the real user.
bool may(const std::string& path, int mode) {
  return ::faccessat(AT_FDCWD, path.c_str(), mode, AT_EACCESS) == 0;
}

bool exists(const std::string& path) {
  return may(path, F_OK);
}

}  // namespace

std::string Pins::path(const std::string& kind, const std::string& name) const {
  return directory_ + "/engine/" + kind + "/" + name;
}

bool Pins::has(const std::string& kind, const std::string& name) const {
  return exists(path(kind, name));
}

bool Pins::has_engine() const {
  return exists(directory_ + "/engine");
}

bool Pins::directory_exists() const {
  return exists(directory_);
}

Status Pins::check_access() const {
  const bool hidden = !may(directory_, R_OK | X_OK) && errno == EACCES;
  return hidden ? Status(pin_error(EACCES, "look for an engine at ", directory_)) : Status(Ok{});
}

bool Pins::access_needs_capability() const {
  struct stat status {};
  return ::geteuid() != 0 || (::stat(directory_.c_str(), &status) == 0 && status.st_uid != 0);
}

void Pins::remove_leftovers() const {
  const bool left = std::any_of(kLeftovers.begin(), kLeftovers.end(),
                                [this](const char* name) { return exists(directory_ + "/" + name); });
  if (!left && (has_engine() || !directory_exists())) {
    return;
  }
  const Fd lock = try_lock_directory(directory_);
  if (!lock) {
    return;
  }
  for (const char* leftover : kLeftovers) {
    static_cast<void>(remove_tree(leftover));
  }
  remove_empty_directory();
}

std::uint64_t Pins::identity() const {
  struct stat status {};
  return ::stat((directory_ + "/engine").c_str(), &status) == 0 ? status.st_ino : 0;
}

void Pins::remove_empty_directory() const {
  ::rmdir(directory_.c_str());  // fails if it holds an engine, or files of another program
}

Result<PinLock> Pins::clean(Fd locked) const {
  PinLock lock(std::move(locked), true);
  for (const char* leftover : kLeftovers) {
    TRY(remove_tree(leftover));
  }
  return lock;
}

Result<PinLock> Pins::lock_exclusive() const {
  return clean(TRY(lock_directory(directory_, LOCK_EX)));
}

Result<PinLock> Pins::make_and_lock() const {
  TRY(require_bpffs(directory_));
  return clean(TRY(lock_directory(directory_, LOCK_EX, IfMissing::kMake)));
}

Result<PinLock> Pins::lock_shared() const {
  return PinLock(TRY(lock_directory(directory_, LOCK_SH)), false);
}

Result<Fd> Pins::open_lock() const {
  return open_directory(directory_);
}

Status Pins::remove_tree(const std::string& name) const {
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
  TRY(remove_tree("old"));
  remove_empty_directory();
  return Ok{};
}

Result<Fd> Pins::lock_viewer(unsigned target) const {
  const std::string name = path("viewers", std::to_string(target));
  Fd directory{::open(name.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  // Waits, since has_viewer in another process holds the lock for an instant.
  if (!directory || ::flock(directory.get(), LOCK_SH) != 0) {
    Error error = pin_error(errno, "open ", name);
    if (error.hint.empty()) {
      error.hint = "run monitor detach --all, then attach again";
    }
    return error;
  }
  return directory;
}

bool Pins::has_viewer(unsigned target) const {
  const Fd directory{::open(path("viewers", std::to_string(target)).c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC)};
  return directory && ::flock(directory.get(), LOCK_EX | LOCK_NB) != 0;
}

Status Pins::pin_all(const std::vector<Item>& items, unsigned targets, const PinLock& /*lock*/) const {
  const std::string building = directory_ + "/new";
  const auto build = [&]() -> Status {
    for (const char* part : {"", "/maps", "/programs", "/links", "/viewers"}) {
      TRY(make_directory(building + part));
    }
    for (unsigned target = 0; target < targets; ++target) {
      TRY(make_directory(building + "/viewers/" + std::to_string(target)));
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
    static_cast<void>(remove_tree("new"));
  }
  return status;
}

Status Pins::pin(const Item& item) const {
  if (bpf_obj_pin(item.fd, path(item.kind, item.name).c_str()) != 0) {
    return pin_error(errno, "pin ", path(item.kind, item.name));
  }
  return Ok{};
}

Status Pins::unpin(const std::string& kind, const std::string& name) const {
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
