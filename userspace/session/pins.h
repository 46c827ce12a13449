// SPDX-License-Identifier: Apache-2.0
// Where an engine lives that outlives its loader: a directory of a BPF file system (bpffs) with a pin of each of its
// maps, programs and links.
//
//   DIRECTORY/engine/{maps,programs,links}/NAME
//   DIRECTORY/engine/viewers/N  a directory, locked (shared) by who looks at target N for longer
//   DIRECTORY/new, DIRECTORY/old  being built, being removed: whoever has the lock may delete them
//
// DIRECTORY itself is what is locked (flock). An engine is there from the moment that `new` is renamed to `engine`
// until that is renamed to `old`.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

// Held from its making until it goes.
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

  // Whether an engine is pinned there, complete or not. Not known to who may not look: no.
  bool exist() const;

  // Whether there is anything, be it what somebody who was killed has left.
  bool has_any() const;

  // Fails with kNotPermitted for who may not look: then none of the above says anything.
  Status check_visible() const;

  // Whether it takes a capability to look there: not for root where it is root's own.
  bool need_capability() const;

  // Removes the directory when nothing is in it.
  void tidy() const;

  // Deletes what whoever was killed left half-made or half-removed, unless somebody is at work there now.
  void clear_leftovers() const;

  // For who changes something: waits for others for a few seconds, then fails naming what is locked. Leftovers are
  // deleted.
  Result<PinLock> lock_exclusive() const;

  // The same for who attaches: makes the directory, and mounts bpffs at /sys/fs/bpf where that is what is missing.
  Result<PinLock> make_and_lock() const;

  // For who only opens what is there.
  Result<PinLock> lock_shared() const;

  // A descriptor of the directory to try the exclusive lock on later.
  Result<Fd> open_lock() const;

  // Tells this engine from any other that is pinned there before or after; 0 when there is none.
  std::uint64_t identity() const;

  // Removes the engine, whatever state it is in, and the directory.
  Status remove(const PinLock& lock) const;

  // Makes it known that target N is looked at, until the descriptor is closed.
  Result<Fd> view(unsigned target) const;
  bool is_viewed(unsigned target) const;

  // ---- for Engine ----

  std::string path(const std::string& kind, const std::string& name) const;
  bool has(const std::string& kind, const std::string& name) const;

  struct Item {
    std::string kind;  // "maps", "programs" or "links"
    std::string name;
    int fd = -1;
  };
  // Pins all of them, or none.
  Status store(const std::vector<Item>& items, unsigned targets, const PinLock& lock) const;
  // Pins one more item of the engine that is pinned already.
  Status add(const Item& item) const;
  // Removes one pin, if it exists.
  Status drop(const std::string& kind, const std::string& name) const;
  Result<Fd> open(const std::string& kind, const std::string& name) const;

 private:
  enum class Missing { kFails, kIsMade };
  Status check_place() const;
  Result<PinLock> lock(int operation, Missing missing = Missing::kFails) const;
  Status clear(const std::string& name) const;

  std::string directory_;
};

}  // namespace monitor
