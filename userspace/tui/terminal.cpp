// SPDX-License-Identifier: Apache-2.0
#include "tui/terminal.h"

#include <signal.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <string>

namespace monitor {
namespace {

// xterm's private modes: 1049 is the alternate screen with the cursor saved, 25 the cursor.
constexpr std::string_view kEnter = "\033[?1049h\033[?25l";
constexpr std::string_view kLeave = "\033[0m\033[?25h\033[?1049l";
constexpr char kCtrlC = 3;

// Stops this process by the default action of `signal`, which is blocked otherwise.
void stop_by(int signal) {
  sigset_t set;
  sigset_t before;
  sigemptyset(&set);
  sigaddset(&set, signal);
  ::sigprocmask(SIG_BLOCK, &set, &before);
  ::raise(signal);
  ::sigprocmask(SIG_UNBLOCK, &set, nullptr);  // stops here
  ::sigprocmask(SIG_SETMASK, &before, nullptr);
}

// What moves the cursor to the start of the next line: usually the terminal's driver adds the CR.
std::string_view newline_of(int fd) {
  termios settings{};
  constexpr tcflag_t kAddsReturn = OPOST | ONLCR;
  const bool adds_return = ::tcgetattr(fd, &settings) == 0 && (settings.c_oflag & kAddsReturn) == kAddsReturn;
  return adds_return ? "\n" : "\r\n";
}

}  // namespace

TerminalSize terminal_size(int fd) {
  TerminalSize size;
  winsize window{};
  if (::ioctl(fd, TIOCGWINSZ, &window) == 0) {
    size.rows = window.ws_row != 0 ? window.ws_row : size.rows;
    size.columns = window.ws_col != 0 ? window.ws_col : size.columns;
  }
  return size;
}

bool in_foreground(int fd) {
  const pid_t group = ::tcgetpgrp(fd);
  return group < 0 || group == ::getpgrp();
}

void Keys::on() {
  termios now{};
  if (before_ || ::isatty(fd_) == 0 || !in_foreground(fd_) || ::tcgetattr(fd_, &now) != 0) {
    return;
  }
  termios one_by_one = now;
  one_by_one.c_lflag &= ~static_cast<tcflag_t>(ICANON | ECHO);
  // Ctrl-S would hold up the bytes that restore the screen.
  one_by_one.c_iflag &= ~static_cast<tcflag_t>(IXON);
  one_by_one.c_cc[VMIN] = 0;  // a read never blocks
  one_by_one.c_cc[VTIME] = 0;
  if (::tcsetattr(fd_, TCSANOW, &one_by_one) == 0) {
    before_ = now;
  }
}

void Keys::off() {
  if (!before_) {
    return;
  }
  // In the background tcsetattr would stop this process. The shell has restored its own settings by then.
  if (in_foreground(fd_)) {
    ::tcsetattr(fd_, TCSANOW, &*before_);
  }
  before_.reset();
}

Keys::Pressed Keys::read() const {
  std::array<char, 64> keys{};
  const ssize_t count = ::read(fd_, keys.data(), keys.size());
  if (count <= 0) {
    return Pressed::kHungUp;
  }
  const bool quit = std::any_of(keys.begin(), keys.begin() + count,
                                [](char key) { return key == 'q' || key == 'Q' || key == kCtrlC; });
  return quit ? Pressed::kQuit : Pressed::kNothing;
}

Result<Written> Screen::draw(std::string_view text) {
  std::string frame = entered_ ? "" : std::string(kEnter);
  entered_ = true;
  frame += draw_frame(text, terminal_size(fd_), newline_of(fd_));
  return write_all(fd_, frame, "the terminal");
}

void Screen::leave() {
  if (entered_) {
    entered_ = false;
    static_cast<void>(write_all(fd_, kLeave, "the terminal"));  // if this fails, there is nothing left to try
  }
}

void stop() {
  stop_by(SIGTSTP);
}

void wait_for_foreground(int fd) {
  while (!in_foreground(fd)) {
    stop_by(SIGTTOU);
  }
}

}  // namespace monitor
