// SPDX-License-Identifier: Apache-2.0
#include "session/try_lock.h"

#include <sys/file.h>

#include <chrono>
#include <thread>

namespace monitor {

TryLock::TryLock(const Fd& lock_file, bool alone) : fd_(lock_file.get()), alone_(alone) {
  constexpr int kTries = 40;
  constexpr std::chrono::microseconds kPause{500};
  for (int tries = 0; !alone_ && !locked_ && tries < kTries; ++tries) {
    if (tries != 0) {
      std::this_thread::sleep_for(kPause);
    }
    locked_ = ::flock(fd_, LOCK_EX | LOCK_NB) == 0;
  }
}

TryLock::~TryLock() {
  if (locked_) {
    ::flock(fd_, LOCK_UN);
  }
}

}  // namespace monitor
