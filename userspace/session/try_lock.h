// SPDX-License-Identifier: Apache-2.0
// The engine's lock, held for a moment by one of the processes that maintain a pinned engine.
#pragma once

#include "base/fd.h"

namespace monitor {

// Tries for a few milliseconds to take the lock, and then gives up: another process does the same work then. An engine
// that nobody else uses needs no lock.
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
