// SPDX-License-Identifier: Apache-2.0
// Samples on a terminal that cannot move its cursor: the boxes one after another, as in a stream. The keys work as on
// the screen.
#pragma once

#include <vector>

#include "sinks/stream_sink.h"
#include "tui/terminal.h"

namespace monitor {

class TeletypeSink : public StreamSink {
 public:
  explicit TeletypeSink(StreamStyle style);
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  Result<Written> finish() override;
  Result<Written> suspended() override;
  Result<Written> resumed() override;
  int keys() const override;
  bool read_keys() override;

 private:
  Keys keys_;
  bool started_ = false;  // keys before the first sample are left to the terminal
};

}  // namespace monitor
