// SPDX-License-Identifier: Apache-2.0
#include "cli/printer.h"

#include <unistd.h>

#include <chrono>

#include "output/csv.h"
#include "output/influx.h"
#include "output/prometheus.h"

namespace monitor {
namespace {

constexpr const char* kStandardOutput = "standard output";

}  // namespace

std::string StreamPrinter::render(const std::vector<Snapshot>& snapshots) const {
  if (format_ == Format::kPrometheus) {
    return render_prometheus(snapshots, Exposition::kPrometheus, MONITOR_VERSION);
  }
  if (format_ == Format::kInflux) {
    return render_influx(snapshots, std::chrono::system_clock::now());
  }
  if (format_ == Format::kCsv) {
    return (first_ && header_ ? csv_header() : "") + render_csv(snapshots, std::chrono::system_clock::now());
  }
  std::string text;
  if (format_ != Format::kJson) {
    text = render_boxes(snapshots, style_);
    return (first_ || text.empty() ? "" : "\n") + text;
  }
  for (const Snapshot& snapshot : snapshots) {
    text += render_json(snapshot) + "\n";
  }
  return text;
}

Result<Written> StreamPrinter::print(const std::vector<Snapshot>& snapshots) {
  const std::string text = render(snapshots);
  first_ = first_ && text.empty();
  return write_all(STDOUT_FILENO, text, kStandardOutput);
}

int StreamPrinter::output() const {
  return STDOUT_FILENO;
}

ScreenPrinter::ScreenPrinter(const BoxStyle& style) : style_(style), keys_(STDIN_FILENO), screen_(STDOUT_FILENO) {}

Result<Written> ScreenPrinter::print(const std::vector<Snapshot>& snapshots) {
  if (last_.empty()) {
    keys_.on();
  }
  last_ = render_boxes(snapshots, style_);
  if (last_.empty()) {
    last_ = "No server is running.\n";
  }
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

Result<Written> LogPrinter::print(const std::vector<Snapshot>& snapshots) {
  for (const Snapshot& snapshot : snapshots) {
    for (const std::string& line : render_log_lines(snapshot)) {
      Result<Written> written = file_.append(line);
      if (!written || *written == Written::kReaderGone) {
        return written;
      }
    }
  }
  return Written::kWhole;
}

}  // namespace monitor
