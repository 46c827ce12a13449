// SPDX-License-Identifier: Apache-2.0
// Signals as something to wait for. They are blocked from the start of the program to its end, so that none of them
// can cut a sample or a line in two or leave the terminal as it is.
#pragma once

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

struct SignalUse {
  bool hangup_reopens = false;  // SIGHUP means "open the log again"; else it ends the program, unless it is ignored
  bool terminal = false;        // the screen is ours to put back before a stop and to draw again after it
};

class Signals {
 public:
  // Blocks SIGINT, SIGTERM, SIGQUIT and what `use` adds, and ignores SIGPIPE, for the rest of the process.
  static Result<Signals> block(const SignalUse& use);

  // Readable while a signal is pending.
  int fd() const { return fd_.get(); }

  struct Arrived {
    bool stop = false;     // SIGINT and its like; stays pending, see stop_is_pending
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

// Whether SIGINT, SIGTERM or SIGQUIT is pending. It is never taken, so that whatever still is to be written after it
// knows that it must not wait for long.
bool stop_is_pending();

}  // namespace monitor
