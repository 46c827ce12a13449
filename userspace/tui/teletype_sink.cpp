// SPDX-License-Identifier: Apache-2.0
#include "tui/teletype_sink.h"

#include <unistd.h>

#include <utility>

namespace monitor {

TeletypeSink::TeletypeSink(StreamStyle style) : StreamSink(Format::kBox, std::move(style)), keys_(STDIN_FILENO) {}

Result<Written> TeletypeSink::print(const std::vector<Snapshot>& snapshots) {
  if (!started_) {
    keys_.on();
    started_ = true;
  }
  return StreamSink::print(snapshots);
}

Result<Written> TeletypeSink::finish() {
  keys_.off();
  return Written::kWhole;
}

Result<Written> TeletypeSink::suspended() {
  keys_.off();
  stop();
  return resumed();
}

Result<Written> TeletypeSink::resumed() {
  wait_for_foreground(STDOUT_FILENO);
  // The shell has changed the terminal's settings meanwhile.
  keys_.off();
  keys_.on();
  return Written::kWhole;
}

int TeletypeSink::keys() const {
  return keys_.is_on() ? keys_.fd() : -1;
}

bool TeletypeSink::read_keys() {
  const Keys::Pressed pressed = keys_.read();
  if (pressed == Keys::Pressed::kHungUp) {
    keys_.off();
  }
  return pressed == Keys::Pressed::kQuit;
}

}  // namespace monitor
