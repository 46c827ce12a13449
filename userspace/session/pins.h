// SPDX-License-Identifier: Apache-2.0
// The pins of an engine that outlives its loader: a directory of a BPF file system (bpffs) with a pin of each of the
// engine's maps, programs and links.
//
//   DIRECTORY/engine/{maps,programs,links}/NAME
//   DIRECTORY/engine/viewers/N  a directory; processes that view target N hold a shared lock on it
//   DIRECTORY/new, DIRECTORY/old  being built, being removed: the process that has the lock may delete them
//
// The lock is on DIRECTORY itself (flock). An engine exists from the rename of `new` to `engine` until the rename of
// `engine` to `old`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

// Holds the lock from its construction to its destruction.
class PinLock {
 public:
  PinLock(Fd directory, bool exclusive) : directory_(std::move(directory)), exclusive_(exclusive) {}

  bool exclusive() const { return exclusive_; }

 private:
  Fd directory_;
  bool exclusive_;
};

class Pins {
 public:
  explicit Pins(std::string directory) : directory_(std::move(directory)) {}

  const std::string& directory() const { return directory_; }

  // Whether an engine is pinned there, complete or not. Returns false if the directory is not accessible.
  bool has_engine() const;

  // Whether the directory exists: a process that was killed can have left one without an engine.
  bool directory_exists() const;

  // Fails with kNotPermitted if the directory is not accessible: the answers above mean nothing then.
  Status check_access() const;

  // Whether access to the directory takes a capability. Root needs none if root owns it.
  bool access_needs_capability() const;

  // Removes the directory if it is empty.
  void remove_empty_directory() const;

  // Deletes what a killed process left half-made or half-removed, unless another process holds the lock.
  void remove_leftovers() const;

  // For callers that change something. Waits a few seconds for other processes, then fails and names the directory.
  // Deletes leftovers.
  Result<PinLock> lock_exclusive() const;

  // The same for attaching: makes the directory, and mounts bpffs at /sys/fs/bpf if it is not mounted.
  Result<PinLock> make_and_lock() const;

  // For callers that only open the engine.
  Result<PinLock> lock_shared() const;

  // Opens the directory, to try the exclusive lock on it later (try_lock.h).
  Result<Fd> open_lock() const;

  // Distinguishes this engine from all others pinned there before or after; 0 if no engine is pinned.
  std::uint64_t identity() const;

  // Removes the engine, in whatever state, and the directory.
  Status remove(const PinLock& lock) const;

  // Marks the target as viewed until the descriptor is closed.
  Result<Fd> lock_viewer(unsigned target) const;
  bool has_viewer(unsigned target) const;

  // ---- for Engine ----

  std::string path(const std::string& kind, const std::string& name) const;
  bool has(const std::string& kind, const std::string& name) const;

  struct Item {
    std::string kind;  // "maps", "programs" or "links"
    std::string name;
    int fd = -1;
  };
  // Pins all of them, or none.
  Status pin_all(const std::vector<Item>& items, unsigned targets, const PinLock& lock) const;
  // Pins one more item of the engine that is pinned already.
  Status pin(const Item& item) const;
  // Removes one pin, if it exists.
  Status unpin(const std::string& kind, const std::string& name) const;
  Result<Fd> open(const std::string& kind, const std::string& name) const;

 private:
  // The exclusive lock, once the leftovers are removed.
  Result<PinLock> clean(Fd locked) const;
  Status remove_tree(const std::string& name) const;

  std::string directory_;
};

}  // namespace monitor
