// SPDX-License-Identifier: Apache-2.0
// Snapshots → a table (RFC 4180, lines ending in a newline alone), pure.
#pragma once

#include <chrono>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// "time,pid,target,…". Later versions keep these columns and add new ones at the end.
std::string csv_header();

// A line for each server; hidden figures are empty. `now` is the time of the snapshots.
std::string render_csv(const std::vector<Snapshot>& snapshots, std::chrono::system_clock::time_point now);

}  // namespace monitor
