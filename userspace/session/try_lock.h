// SPDX-License-Identifier: Apache-2.0
// The engine's lock, held for a moment by one of the processes that maintain a pinned engine.
#pragma once

#include "base/fd.h"

namespace monitor {

// Tries to take the lock for a few milliseconds. If that fails, another process is doing the same work. An engine that
// no other process uses needs no lock.
class TryLock {
 public:
  TryLock(const Fd& lock_file, bool alone);
  ~TryLock();
  TryLock(const TryLock&) = delete;
  TryLock& operator=(const TryLock&) = delete;
  explicit operator bool() const { return alone_ || locked_; }

 private:
  int fd_;
  bool alone_;
  bool locked_ = false;
};

}  // namespace monitor
