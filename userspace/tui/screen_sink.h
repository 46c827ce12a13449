// SPDX-License-Identifier: Apache-2.0
// Samples on the terminal: the boxes, one below another, redrawn in place. The last ones stay on the normal screen.
#pragma once

#include <string>
#include <vector>

#include "output/render.h"
#include "sinks/sink.h"
#include "tui/terminal.h"

namespace monitor {

class ScreenSink : public Sink {
 public:
  explicit ScreenSink(const BoxStyle& style);
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  Result<Written> finish() override;
  Result<Written> resized() override;
  Result<Written> suspended() override;
  Result<Written> resumed() override;
  int output() const override;
  int keys() const override;
  bool read_keys() override;

 private:
  BoxStyle style_;
  Keys keys_;
  Screen screen_;  // declared after keys_, so that it is destroyed first
  std::string last_;
};

}  // namespace monitor
