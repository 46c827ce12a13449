// SPDX-License-Identifier: Apache-2.0
// How monitoring systems identify what a Snapshot holds: the name of a server, and its endpoints by the labels of
// OpenTelemetry's conventions. Every output for a monitoring system shares this.
#pragma once

#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

// A name for each server: the address that it serves on ("127.0.0.1:9999", "unix:/run/a.sock"), followed by
// "#<pid>" if two servers would have the same name; "pid:<pid>" for a server that does not listen. Escaped by text.h.
std::vector<std::string> target_names(const std::vector<Snapshot>& snapshots);

struct EndpointSeries {
  std::string method;         // a method that the conventions know, or "_OTHER"
  std::string endpoint;       // the path as the JSON shows it
  EndpointCounters counters;  // sums, without a name, and without a peak because peaks do not add up
};

// Sorted by method and endpoint. Endpoints with the same labels are one series; its durations are sorted by the label
// of their status, one for each.
std::vector<EndpointSeries> endpoint_series(const Snapshot& snapshot);

// By the label of their status.
void sort_durations(std::vector<Durations>& durations);

// The label of a status: "200", "_OTHER" for the statuses that share a histogram, "" for requests without a status.
std::string status_label(const Durations& durations);

}  // namespace monitor
