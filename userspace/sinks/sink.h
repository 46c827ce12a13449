// SPDX-License-Identifier: Apache-2.0
// Where samples go: the interface that the view's loop prints to, and that every output of the view implements.
#pragma once

#include <vector>

#include "base/output_file.h"
#include "base/result.h"
#include "model/snapshot.h"

namespace monitor {

class Sink {
 public:
  virtual ~Sink() = default;

  // Writes one sample: a snapshot of each server.
  virtual Result<Written> print(const std::vector<Snapshot>& snapshots) = 0;

  // Called once after the last sample.
  virtual Result<Written> finish() { return Written::kWhole; }

  // Signals that the loop received. A failure to reopen does not end the program.
  virtual Result<Written> resized() { return Written::kWhole; }
  virtual Result<Written> suspended() { return Written::kWhole; }
  virtual Result<Written> resumed() { return Written::kWhole; }
  virtual Status reopen() { return Ok{}; }

  // The descriptor that the sink writes to, or -1: the program ends once its reader has gone.
  virtual int output() const = 0;

  // The descriptor to read keys from, or -1. The loop calls read_keys when it is readable. That returns true if a key
  // asks to quit.
  virtual int keys() const { return -1; }
  virtual bool read_keys() { return false; }
};

}  // namespace monitor
