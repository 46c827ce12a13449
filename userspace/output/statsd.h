// SPDX-License-Identifier: Apache-2.0
// Snapshots → the lines and datagrams for a StatsD server, pure.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// A size that is not fragmented on usual paths: 1,500 bytes of an Ethernet frame less the headers, with room for those
// of a tunnel.
inline constexpr std::size_t kMostDatagram = 1400;

// One metric per line, without a newline. A gauge has its value; a counter has what it grew by since `before`, and is
// left out for a server that is not in `before`. `tagged` adds DogStatsD's tags, and with them figures by endpoint:
// without tags a path would have to be part of the metric's name.
std::vector<std::string> render_statsd(const std::vector<Snapshot>& now, const std::vector<Snapshot>& before,
                                       bool tagged);

// Packs the lines, in their order, into datagrams of at most `most` bytes. A longer line gets a datagram of its own.
std::vector<std::string> pack_datagrams(const std::vector<std::string>& lines, std::size_t most = kMostDatagram);

}  // namespace monitor
