// SPDX-License-Identifier: Apache-2.0
// One sample of a run: a snapshot of each server that it observes.
#pragma once

#include <vector>

#include "model/snapshot.h"

namespace monitor {

struct Sample {
  std::vector<Snapshot> snapshots;
  bool server_ended = false;  // every server has ended, and these are the final counts
};

}  // namespace monitor
