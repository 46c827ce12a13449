// SPDX-License-Identifier: Apache-2.0
// The terminal while the box is redrawn in place: alternate screen, hidden cursor, keys one by one. The destructors
// restore the terminal on every way out of the program.
#pragma once

#include <termios.h>

#include <optional>
#include <string_view>

#include "base/output_file.h"
#include "base/result.h"
#include "tui/frame.h"

namespace monitor {

// The size now; 24 x 80 if the terminal does not report it.
TerminalSize terminal_size(int fd);

// Whether this process may use the terminal. It may if it is in the terminal's foreground, or if the terminal does not
// control this session: job control does not apply then.
bool in_foreground(int fd);

// While this is on, `fd` delivers each key at once and does not echo it. Ctrl-C and the like still send signals.
class Keys {
 public:
  explicit Keys(int fd) : fd_(fd) {}
  Keys(const Keys&) = delete;
  Keys& operator=(const Keys&) = delete;
  ~Keys() { off(); }

  void on();
  void off();
  bool is_on() const { return before_.has_value(); }

  // Reads the keys that have arrived. Call it when `fd` is readable.
  enum class Pressed { kNothing, kQuit, kHungUp };
  Pressed read() const;

  int fd() const { return fd_; }

 private:
  int fd_;
  std::optional<termios> before_;
};

// The alternate screen. The first draw enters it.
class Screen {
 public:
  explicit Screen(int fd) : fd_(fd) {}
  Screen(const Screen&) = delete;
  Screen& operator=(const Screen&) = delete;
  ~Screen() { leave(); }

  // Draws the text over what the screen shows, in one write so that it does not flicker.
  Result<Written> draw(std::string_view text);

  // Returns to the normal screen and shows the cursor. The next draw enters the alternate screen again.
  void leave();

 private:
  int fd_;
  bool entered_ = false;
};

// Stops this process as Ctrl-Z does, until it is continued.
void stop();

// Returns once this process is in the foreground of `fd`. Until then it is stopped (SIGTTOU), like any
// background process that wants the terminal.
void wait_for_foreground(int fd);

}  // namespace monitor
