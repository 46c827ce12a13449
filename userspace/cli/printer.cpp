// SPDX-License-Identifier: Apache-2.0
#include "cli/printer.h"

#include <unistd.h>

namespace monitor {
namespace {

constexpr const char* kStandardOutput = "standard output";

}  // namespace

Result<Written> StreamPrinter::print(const Snapshot& snapshot) {
  const bool separate = !json_ && !first_;
  first_ = false;
  const std::string text = json_ ? render_json(snapshot) + "\n" : render_box(snapshot, style_);
  return write_all(STDOUT_FILENO, (separate ? "\n" : "") + text, kStandardOutput);
}

int StreamPrinter::output() const {
  return STDOUT_FILENO;
}

ScreenPrinter::ScreenPrinter(const BoxStyle& style) : style_(style), keys_(STDIN_FILENO), screen_(STDOUT_FILENO) {}

Result<Written> ScreenPrinter::print(const Snapshot& snapshot) {
  if (last_.empty()) {
    keys_.on();
  }
  last_ = render_box(snapshot, style_);
  return screen_.draw(last_);
}

Result<Written> ScreenPrinter::finish() {
  screen_.leave();
  keys_.off();
  return write_all(STDOUT_FILENO, last_, kStandardOutput);
}

Result<Written> ScreenPrinter::resized() {
  if (last_.empty()) {
    return Written::kWhole;  // counting has not begun
  }
  return screen_.draw(last_);
}

Result<Written> ScreenPrinter::suspended() {
  screen_.leave();
  keys_.off();
  stop();
  return resumed();
}

Result<Written> ScreenPrinter::resumed() {
  wait_for_foreground(STDOUT_FILENO);
  // The shell has set the terminal to its own liking.
  keys_.off();
  keys_.on();
  return resized();
}

int ScreenPrinter::output() const {
  return STDOUT_FILENO;
}

int ScreenPrinter::keys() const {
  return keys_.is_on() ? keys_.fd() : -1;
}

Keys::Pressed ScreenPrinter::read_keys() {
  const Keys::Pressed pressed = keys_.read();
  if (pressed == Keys::Pressed::kHungUp) {
    keys_.off();
  }
  return pressed;
}

Result<Written> LogPrinter::print(const Snapshot& snapshot) {
  for (const std::string& line : render_log_lines(snapshot)) {
    Result<Written> written = file_.append(line);
    if (!written || *written == Written::kReaderGone) {
      return written;
    }
  }
  return Written::kWhole;
}

}  // namespace monitor
