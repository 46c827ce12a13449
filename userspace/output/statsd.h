// SPDX-License-Identifier: Apache-2.0
// Snapshots → what a StatsD server is sent, pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// What fits into any path's datagram: an Ethernet frame's 1,500 bytes less the headers, with room for a tunnel's.
inline constexpr std::size_t kMostDatagram = 1400;

// One metric a line, without newline: gauges for what is now; for what is counted, by how much it grew since `before`
// (nothing of a server that is not in there). `tagged` adds DogStatsD's tags, and with them figures by endpoint: a name
// of plain StatsD has no room for what strangers wrote.
std::vector<std::string> render_statsd(const std::vector<Snapshot>& now, const std::vector<Snapshot>& before,
                                       bool tagged);

// The lines in their order, as many in each datagram as fit.
std::vector<std::string> pack_datagrams(const std::vector<std::string>& lines, std::size_t most = kMostDatagram);

}  // namespace monitor
