// SPDX-License-Identifier: Apache-2.0
// Undoes what a test does with signals. doctest runs all tests in one process.
#pragma once

#include <signal.h>

#include <ctime>

namespace monitor::test {

// Restores the signal mask and discards pending signals. The tests may run under nohup, which ignores SIGHUP.
class SignalMask {
 public:
  SignalMask() : hangup_(::signal(SIGHUP, SIG_DFL)) { ::sigprocmask(SIG_BLOCK, nullptr, &before_); }
  SignalMask(const SignalMask&) = delete;
  SignalMask& operator=(const SignalMask&) = delete;
  ~SignalMask() {
    sigset_t all;
    sigfillset(&all);
    const timespec at_once{};
    while (::sigtimedwait(&all, nullptr, &at_once) > 0) {
    }
    ::sigprocmask(SIG_SETMASK, &before_, nullptr);
    ::signal(SIGHUP, hangup_);
  }

 private:
  void (*hangup_)(int);
  sigset_t before_{};
};

}  // namespace monitor::test
