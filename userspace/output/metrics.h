// SPDX-License-Identifier: Apache-2.0
// The registry of metrics: one row for each, with its names, unit, kind, meaning and how to read it. Every exporter,
// the JSON and the test of docs/metrics.md read this table, so a new metric is one row in metrics.cpp (and its
// definition on that page). The box and the log lines have a fixed layout and are not made from it.
#pragma once

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

using Number = std::variant<std::uint64_t, double>;

// How to read a metric. `Subject` is what has the metric: a server (Snapshot), an endpoint, a worker or a listener.
template <typename Subject, typename Value = Number>
using Read = Value (*)(const Subject&);

using ReadCauses = Read<Snapshot, const std::map<std::string, std::uint64_t>&>;   // a count for each cause
using ReadClasses = Read<EndpointCounters, const std::array<std::uint64_t, 6>&>;  // a count for each status class
using ReadDurations = Read<EndpointCounters, const std::vector<Durations>&>;      // a histogram for each status
template <typename Subject>
using ReadLatency = Read<Subject, const Latency&>;
// The endpoints of a server that have no series of their own in a scrape: the renderer of Prometheus knows it.
struct LeftOut {};

using AnyRead =
    std::variant<Read<Snapshot>, Read<EndpointCounters>, Read<WorkerSnapshot>, Read<ListenerSnapshot>, ReadCauses,
                 ReadClasses, ReadDurations, ReadLatency<Snapshot>, ReadLatency<EndpointCounters>, LeftOut,
                 std::monostate>;  // monostate: the value is in the labels

// Prometheus' families are in this order, and within a topic in the order of the rows.
enum class Topic { kEndpoints, kRequests, kConnections, kProcesses, kObservation, kWorkers, kListeners };

enum class Kind {
  kGauge,      // a value now; it can fall
  kCounter,    // counts events: only grows while the server lives
  kHistogram,  // a distribution in the buckets of kDurationBounds, since counting began
  kSummary,    // percentiles and the maximum since the previous sample
  kInfo,       // always 1; its labels carry what is known
};

// The outputs that write a metric by its `name`: a set, combined with |. CSV writes those of a server only, and StatsD
// those of an endpoint only with tags.
enum Output : unsigned { kJson = 1, kCsv = 2, kInflux = 4, kStatsd = 8 };

struct Metric {
  Topic topic;
  const char* name;        // nullptr: Prometheus alone has it
  const char* prometheus;  // nullptr: Prometheus does not have it. A counter's ends in _total
  Kind kind;
  const char* unit;
  unsigned outputs;
  const char* help;  // one sentence
  AnyRead read;
  bool system = false;  // hidden by --no-system
};

// The rows of each subject are in the order of the JSON's keys and the CSV's columns, so a new row goes after those.
std::span<const Metric> metrics();

// "gauge": the type's name in OpenMetrics.
const char* kind_name(Kind kind);

// The key in the JSON. A histogram is a list there, with one element for each status, and its key is the plural.
std::string json_key(const Metric& metric);

// A metric and its value at one moment, for formats that write one number for each name.
struct Figure {
  std::string name;
  Kind kind = Kind::kGauge;
  std::optional<Number> value;  // nullopt: a percentile of no requests
};

// The percentiles of a summary, as parts of its name.
struct Percentile {
  const char* name;
  double quantile;
};
inline constexpr std::array kPercentiles = {Percentile{"p50", 0.5}, Percentile{"p90", 0.9}, Percentile{"p95", 0.95},
                                            Percentile{"p99", 0.99}};

// What one output writes of a server, without what --no-system hides.
std::vector<Figure> figures(const Snapshot& snapshot, Output output);

// What one output writes of an endpoint. A histogram becomes two counters, "<name>_<unit>_sum" and "<name>_count"; a
// summary becomes gauges, "<name>_<unit>_p50" and so on, "<name>_<unit>_max" and "<name>_recent_count".
std::vector<Figure> figures(const EndpointCounters& endpoint, Output output);

// A double with three decimals; what no definition allows becomes 0.
Number rounded(const Number& number);

// "4", "42.5"
std::string number_text(const Number& number);

}  // namespace monitor
