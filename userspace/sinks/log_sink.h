// SPDX-License-Identifier: Apache-2.0
// Samples as log lines in a file.
#pragma once

#include <utility>
#include <vector>

#include "sinks/log_file.h"
#include "sinks/sink.h"

namespace monitor {

class LogSink : public Sink {
 public:
  // `latency`: with the line of percentiles.
  LogSink(LogFile file, bool latency) : file_(std::move(file)), latency_(latency) {}
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  Status reopen() override { return file_.reopen(); }
  int output() const override { return file_.fd(); }

 private:
  LogFile file_;
  bool latency_;
};

}  // namespace monitor
