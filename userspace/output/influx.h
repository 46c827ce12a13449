// SPDX-License-Identifier: Apache-2.0
// Snapshots → InfluxDB's line protocol, pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// Writes a point "uvicorn" for each server and a point "uvicorn_endpoint" for each of its endpoints, one per line.
// `now` is the time of the snapshots.
std::string render_influx(const std::vector<Snapshot>& snapshots, std::chrono::system_clock::time_point now);

}  // namespace monitor
