// SPDX-License-Identifier: Apache-2.0
// What monitoring systems call the things that a Snapshot holds: the name of a server, the endpoints by the labels of
// OpenTelemetry's conventions. Shared by every output that feeds one.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// A name for each: the first address that it listens on ("127.0.0.1:9999", "unix:/run/a.sock"), "#<pid>" behind it
// where two would have the same; "pid:<pid>" for one that listens nowhere. Escaped as everywhere.
std::vector<std::string> target_names(const std::vector<Snapshot>& snapshots);

struct EndpointSeries {
  std::string method;    // one of the methods that the conventions know, else "_OTHER"
  std::string endpoint;  // the path as the JSON shows it
  std::uint64_t active = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t websockets = 0;
  std::map<std::string, Durations> durations;  // by status: "200", "_OTHER", "" for those that ended without one
};

// Sorted by method and endpoint; those that have both in common are one.
std::vector<EndpointSeries> endpoint_series(const Snapshot& snapshot);

}  // namespace monitor
