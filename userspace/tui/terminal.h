// SPDX-License-Identifier: Apache-2.0
// The terminal while the box is redrawn in place: alternate screen, hidden cursor, keys one by one. Whatever way the
// program takes out, the destructors put back what was there.
#pragma once

#include <termios.h>

#include <optional>
#include <string_view>

#include "base/output_file.h"
#include "base/result.h"
#include "tui/frame.h"

namespace monitor {

// The size now; 24 x 80 where the terminal does not know.
TerminalSize terminal_size(int fd);

// Whether this process may use the terminal: it is in its foreground, or the terminal is not the one that controls
// this session, and job control does not apply.
bool in_foreground(int fd);

// While it lives and is on, `fd` gives keys at once and without showing them. Signals by keys (Ctrl-C) stay.
class Keys {
 public:
  explicit Keys(int fd) : fd_(fd) {}
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;
  ~Keys() { off(); }

  void on();
  void off();
  bool is_on() const { return before_.has_value(); }

  // What there is to read when poll says that there is something.
  enum class Pressed { kNothing, kQuit, kHungUp };
  Pressed read() const;

  int fd() const { return fd_; }

 private:
  int fd_;
  std::optional<termios> before_;
};

// The alternate screen, from the first picture on.
class Screen {
 public:
  explicit Screen(int fd) : fd_(fd) {}
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() { leave(); }

  // One write a picture.
  Result<Written> draw(std::string_view text);

  // Back to the normal screen with its cursor. The next picture enters again.
  void leave();

 private:
  int fd_;
  bool entered_ = false;
};

// Stops this process as Ctrl-Z does, until it is continued.
void stop();

// Returns once this process is in the foreground of `fd`. Until then it is stopped, as anything is that wants the
// terminal while in the background.
void wait_for_foreground(int fd);

}  // namespace monitor
