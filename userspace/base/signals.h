// SPDX-License-Identifier: Apache-2.0
// Signals as events to wait for. They stay blocked until the program ends, so that no signal interrupts a sample or a
// line, or ends the program before it restores the terminal.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

struct SignalUse {
  bool hangup_reopens = false;  // SIGHUP reopens the log; if false, it ends the program, unless it is ignored
  bool terminal = false;        // the program restores the screen before Ctrl-Z stops it, and redraws it afterwards
};

class Signals {
 public:
  // Blocks SIGINT, SIGTERM, SIGQUIT and what `use` adds, and ignores SIGPIPE, for the rest of the process.
  static Result<Signals> block(const SignalUse& use);

  // Readable while a signal is pending.
  int fd() const { return fd_.get(); }

  struct Arrived {
    bool stop = false;     // SIGHUP, or a signal that stays pending (stop_is_pending)
    bool reopen = false;   // SIGHUP
    bool resized = false;  // SIGWINCH
    bool suspend = false;  // SIGTSTP, Ctrl-Z
    bool resumed = false;  // SIGCONT
  };
  Arrived take() const;

 private:
  Signals(const SignalUse& use, Fd fd) : use_(use), fd_(std::move(fd)) {}

  SignalUse use_;
  Fd fd_;
};

// Whether SIGINT, SIGTERM or SIGQUIT is pending. These signals stay pending, so that every later write knows that it
// must not wait for long.
bool stop_is_pending();

}  // namespace monitor
