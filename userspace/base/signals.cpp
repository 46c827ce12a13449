// SPDX-License-Identifier: Apache-2.0
#include "base/signals.h"

#include <signal.h>
#include <sys/signalfd.h>

#include <cerrno>
#include <ctime>
#include <initializer_list>

namespace monitor {
namespace {

constexpr std::initializer_list<int> kStop = {SIGINT, SIGTERM, SIGQUIT};

// nohup ignores SIGHUP for the program it starts. Blocking would undo that: a blocked signal becomes pending even if it
// is ignored.
bool is_ignored(int signal) {
  struct sigaction action {};
  return ::sigaction(signal, nullptr, &action) == 0 && action.sa_handler == SIG_IGN;
}

// Takes one pending signal of `set` and returns it; returns 0 if no signal is pending.
int take_one(const sigset_t& set) {
  const timespec at_once{};
  const int signal = ::sigtimedwait(&set, nullptr, &at_once);
  return signal > 0 ? signal : 0;
}

}  // namespace

Result<Signals> Signals::block(const SignalUse& use) {
  sigset_t set;
  sigemptyset(&set);
  for (const int signal : kStop) {
    sigaddset(&set, signal);
  }
  if (use.hangup_reopens || !is_ignored(SIGHUP)) {
    sigaddset(&set, SIGHUP);
  }
  if (use.terminal) {
    for (const int signal : {SIGWINCH, SIGTSTP, SIGCONT}) {
      sigaddset(&set, signal);
    }
  }
  if (::sigprocmask(SIG_BLOCK, &set, nullptr) != 0) {
    return system_error(errno, "block signals");
  }
  ::signal(SIGPIPE, SIG_IGN);
  ::signal(SIGXFSZ, SIG_IGN);  // a write past `ulimit -f` fails with EFBIG instead
  Fd fd{::signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK)};
  if (!fd) {
    return system_error(errno, "wait for signals");
  }
  return Signals(use, std::move(fd));
}

Signals::Arrived Signals::take() const {
  Arrived arrived;
  arrived.stop = stop_is_pending();
  sigset_t rest;
  sigemptyset(&rest);
  for (const int signal : {SIGHUP, SIGWINCH, SIGTSTP, SIGCONT}) {
    sigaddset(&rest, signal);
  }
  for (int signal = take_one(rest); signal != 0; signal = take_one(rest)) {
    arrived.reopen |= signal == SIGHUP && use_.hangup_reopens;
    arrived.stop |= signal == SIGHUP && !use_.hangup_reopens;
    arrived.resized |= signal == SIGWINCH;
    arrived.suspend |= signal == SIGTSTP;
    arrived.resumed |= signal == SIGCONT;
  }
  return arrived;
}

bool stop_is_pending() {
  sigset_t pending;
  if (::sigpending(&pending) != 0) {
    return false;
  }
  for (const int signal : kStop) {
    if (sigismember(&pending, signal) == 1) {
      return true;
    }
  }
  return false;
}

}  // namespace monitor
