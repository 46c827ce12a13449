// SPDX-License-Identifier: Apache-2.0
#include "tui/screen_sink.h"

#include <unistd.h>

namespace monitor {

ScreenSink::ScreenSink(const BoxStyle& style) : style_(style), keys_(STDIN_FILENO), screen_(STDOUT_FILENO) {}

Result<Written> ScreenSink::print(const std::vector<Snapshot>& snapshots) {
  if (last_.empty()) {
    keys_.on();
  }
  last_ = render_boxes(snapshots, style_);
  if (last_.empty()) {
    last_ = "No server is running.\n";
  }
  return screen_.draw(last_);
}

Result<Written> ScreenSink::finish() {
  screen_.leave();
  keys_.off();
  return write_all(STDOUT_FILENO, last_, "standard output");
}

Result<Written> ScreenSink::resized() {
  if (last_.empty()) {
    return Written::kWhole;  // before the first sample
  }
  return screen_.draw(last_);
}

Result<Written> ScreenSink::suspended() {
  screen_.leave();
  keys_.off();
  stop();
  return resumed();
}

Result<Written> ScreenSink::resumed() {
  wait_for_foreground(STDOUT_FILENO);
  // The shell has changed the terminal's settings meanwhile.
  keys_.off();
  keys_.on();
  return resized();
}

int ScreenSink::output() const {
  return STDOUT_FILENO;
}

int ScreenSink::keys() const {
  return keys_.is_on() ? keys_.fd() : -1;
}

bool ScreenSink::read_keys() {
  const Keys::Pressed pressed = keys_.read();
  if (pressed == Keys::Pressed::kHungUp) {
    keys_.off();
  }
  return pressed == Keys::Pressed::kQuit;
}

}  // namespace monitor
