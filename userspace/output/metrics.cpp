// SPDX-License-Identifier: Apache-2.0
// The table of metrics, and the figures that are read by it.
#include "output/metrics.h"

#include <fmt/format.h>

#include <numeric>

#include "output/figures.h"
#include "output/warnings.h"

namespace monitor {
namespace {

Number to_number(std::uint64_t value) {
  return value;
}

Number to_number(unsigned value) {
  return std::uint64_t{value};
}

Number to_number(double value) {
  return value;
}

template <typename Subject, typename Value>
Subject subject_of(Value Subject::*member);

// Reads a member as a Number, or as it is.
template <auto kMember, typename Subject = decltype(subject_of(kMember))>
Number number(const Subject& subject) {
  return to_number(subject.*kMember);
}

template <auto kMember, typename Subject = decltype(subject_of(kMember))>
const auto& whole(const Subject& subject) {
  return subject.*kMember;
}

template <typename Subject>
Number memory_mb(const Subject& subject) {
  return megabytes(subject.memory_bytes);
}

Number undercount(const Snapshot& snapshot) {
  return undercount_sum(snapshot.undercount);
}

Number listener_undercount(const ListenerSnapshot& listener) {
  return undercount_sum(listener.undercount);
}

using Endpoint = EndpointCounters;
using Worker = WorkerSnapshot;
using Listener = ListenerSnapshot;

constexpr auto kGauge = Kind::kGauge;
constexpr auto kCounter = Kind::kCounter;
constexpr auto kSummary = Kind::kSummary;

// Sets of outputs.
constexpr unsigned kAll = kJson | kCsv | kInflux | kStatsd;
constexpr unsigned kOfEndpoint = kJson | kInflux | kStatsd;
constexpr unsigned kPrometheusOnly = 0;

// The value of Metric::system.
constexpr bool kSystem = true;

constexpr const char* kNoName = nullptr;

// Not a std::array: to count the rows by itself, it would need the type named in each row.
// NOLINTNEXTLINE(modernize-avoid-c-arrays)
constexpr Metric kMetrics[] = {
    // A server.
    {Topic::kRequests, "active_concurrent", kNoName, kGauge, "requests", kAll, "Requests in flight now.",
     number<&Snapshot::active>},
    {Topic::kRequests, "peak_concurrent", "uvicorn_active_requests_peak", kGauge, "requests", kAll,
     "The most requests that were in flight at once since counting began.", number<&Snapshot::peak>},
    {Topic::kRequests, "total_requests", "uvicorn_requests_total", kCounter, "requests", kAll,
     "Requests that ended, however they ended.", number<&Snapshot::total>},
    {Topic::kRequests, "failed_requests", "uvicorn_failed_requests_total", kCounter, "requests", kAll,
     "Requests that ended with a status of 500 or more, or that the server cut off.", number<&Snapshot::failed>},
    {Topic::kConnections, "queue_depth", "uvicorn_queue_depth", kGauge, "connections", kAll,
     "Connections that wait now: to be accepted, or with unread bytes and no request in flight.",
     number<&Snapshot::queue_depth>},
    {Topic::kProcesses, "cpu_percent", kNoName, kGauge, "percent", kAll,
     "CPU that the server's processes used since the previous sample; 100 is one busy core.",
     number<&Snapshot::cpu_percent>, kSystem},
    {Topic::kProcesses, kNoName, "uvicorn_cpu_seconds_total", kCounter, "seconds", kPrometheusOnly,
     "CPU time of the server's processes, including processes that have ended.", number<&Snapshot::cpu_seconds>,
     kSystem},
    {Topic::kProcesses, "memory_mb", kNoName, kGauge, "MB", kAll,
     "Resident memory of the server's processes; 1 MB is 2^20 bytes.", memory_mb<Snapshot>, kSystem},
    {Topic::kProcesses, kNoName, "uvicorn_memory_bytes", kGauge, "bytes", kPrometheusOnly,
     "Resident memory of the server's processes.", number<&Snapshot::memory_bytes>, kSystem},
    {Topic::kProcesses, "threads", "uvicorn_threads", kGauge, "threads", kAll, "Threads of the server's processes.",
     number<&Snapshot::threads>, kSystem},
    {Topic::kProcesses, "uptime_seconds", "uvicorn_uptime_seconds", kGauge, "seconds", kAll,
     "Time since the server's root process started.", number<&Snapshot::uptime_seconds>},
    {Topic::kObservation, "observed_seconds", "uvicorn_observed_seconds", kGauge, "seconds", kAll,
     "Time since counting began, which is what the totals and peaks cover.", number<&Snapshot::observed_seconds>},
    {Topic::kConnections, "open_connections", "uvicorn_open_connections", kGauge, "connections", kAll,
     "Connections that are accepted and not closed, including idle ones.", number<&Snapshot::open_connections>},
    {Topic::kConnections, "peak_connections", "uvicorn_open_connections_peak", kGauge, "connections", kAll,
     "The most connections that were open at once since counting began.", number<&Snapshot::peak_connections>},
    {Topic::kRequests, "aborted_requests", "uvicorn_aborted_requests_total", kCounter, "requests", kAll,
     "Requests whose client went away first.", number<&Snapshot::aborted>},
    {Topic::kRequests, "refused_requests", "uvicorn_refused_requests_total", kCounter, "requests", kAll,
     "Requests that the server refused because of its own concurrency limit.", number<&Snapshot::refused>},
    {Topic::kRequests, "rejected_requests", "uvicorn_rejected_requests_total", kCounter, "requests", kAll,
     "Malformed requests that the server's parser answered; they are in no other count.", number<&Snapshot::rejected>},
    {Topic::kConnections, "websockets_active", "uvicorn_active_websockets", kGauge, "requests", kAll,
     "Requests in flight that were upgraded to a WebSocket.", number<&Snapshot::websockets>},
    {Topic::kObservation, "undercount", kNoName, kCounter, "events", kAll,
     "The sum of undercount_by_cause; at 0 the other figures are complete.", undercount},
    {Topic::kObservation, "undercount_by_cause", "uvicorn_undercount_total", kCounter, "events", kJson,
     "Connections or events that could not be counted; at 0 the other figures are complete.",
     whole<&Snapshot::undercount>},
    {Topic::kObservation, "not_seen_seconds", "uvicorn_not_seen_seconds", kGauge, "seconds", kJson,
     "For how long the server may have served before counting began.", number<&Snapshot::not_seen_seconds>},
    {Topic::kObservation, "other_requests", "uvicorn_other_requests_total", kCounter, "requests", kAll,
     "Ended requests under (other): their endpoints found no room in the table, or had to make room.",
     [](const Snapshot& snapshot) { return Number(other_requests(snapshot)); }},
    {Topic::kObservation, kNoName, "uvicorn_endpoints_left_out", kGauge, "endpoints", kPrometheusOnly,
     "Endpoints without series of their own, because a scrape has a limit; (other) has their sum.", LeftOut()},
    {Topic::kRequests, "queue_wait", kNoName, kSummary, "seconds", kAll,
     "How long requests waited, from the arrival of their first byte until the server had read their head.",
     [](const Snapshot& snapshot) -> const Latency& { return snapshot.recent.queue_wait; }},
    {Topic::kRequests, "time_to_first_byte", kNoName, kSummary, "seconds", kAll,
     "From the last byte of a request's head to the first byte of its final response.",
     [](const Snapshot& snapshot) -> const Latency& { return snapshot.recent.first_byte; }},
    {Topic::kRequests, "duration", kNoName, kSummary, "seconds", kAll,
     "From the last byte of a request's head to the end of its response.",
     [](const Snapshot& snapshot) -> const Latency& { return snapshot.recent.duration; }},
    {Topic::kObservation, kNoName, "target_info", Kind::kInfo, "", kPrometheusOnly, "The servers that are observed.",
     std::monostate()},

    // An endpoint.
    {Topic::kEndpoints, "active", "http_server_active_requests", kGauge, "requests", kOfEndpoint,
     "Requests in flight now.", number<&Endpoint::active>},
    {Topic::kEndpoints, "peak", kNoName, kGauge, "requests", kJson,
     "The most requests that were in flight at once since counting began.", number<&Endpoint::peak>},
    {Topic::kEndpoints, "completed", kNoName, kCounter, "requests", kOfEndpoint,
     "Requests that ended, however they ended.", number<&Endpoint::completed>},
    {Topic::kEndpoints, "failed", kNoName, kCounter, "requests", kOfEndpoint,
     "Requests that ended with a status of 500 or more, or that the server cut off.", number<&Endpoint::failed>},
    {Topic::kEndpoints, "aborted", kNoName, kCounter, "requests", kOfEndpoint, "Requests whose client went away first.",
     number<&Endpoint::aborted>},
    {Topic::kEndpoints, "websockets_active", kNoName, kGauge, "requests", kJson | kInflux,
     "Requests in flight that were upgraded to a WebSocket.", number<&Endpoint::websockets>},
    {Topic::kEndpoints, "status", kNoName, kCounter, "requests", kJson,
     "Requests that ended, by the class of their final status.", whole<&Endpoint::status>},
    {Topic::kEndpoints, "duration", "http_server_request_duration_seconds", Kind::kHistogram, "seconds",
     kJson | kInflux, "Time from the last byte of a request's head to the end of its response.",
     whole<&Endpoint::durations>},
    {Topic::kEndpoints, "queue_wait", kNoName, kSummary, "seconds", kOfEndpoint,
     "How long requests waited, from the arrival of their first byte until the server had read their head.",
     [](const Endpoint& endpoint) -> const Latency& { return endpoint.recent.queue_wait; }},
    {Topic::kEndpoints, "time_to_first_byte", kNoName, kSummary, "seconds", kOfEndpoint,
     "From the last byte of a request's head to the first byte of its final response.",
     [](const Endpoint& endpoint) -> const Latency& { return endpoint.recent.first_byte; }},
    {Topic::kEndpoints, "duration", kNoName, kSummary, "seconds", kOfEndpoint,
     "From the last byte of a request's head to the end of its response.",
     [](const Endpoint& endpoint) -> const Latency& { return endpoint.recent.duration; }},
    {Topic::kEndpoints, kNoName, "uvicorn_queue_wait_seconds", Kind::kHistogram, "seconds", kPrometheusOnly,
     "How long requests waited, from the arrival of their first byte until the server had read their head.",
     [](const Endpoint& endpoint) -> const Latency& { return endpoint.latencies.queue_wait; }},
    {Topic::kEndpoints, kNoName, "uvicorn_time_to_first_byte_seconds", Kind::kHistogram, "seconds", kPrometheusOnly,
     "From the last byte of a request's head to the first byte of its final response.",
     [](const Endpoint& endpoint) -> const Latency& { return endpoint.latencies.first_byte; }},

    // A worker.
    {Topic::kWorkers, "active", kNoName, kGauge, "requests", kJson, "Requests in flight that the worker read.",
     number<&Worker::active>},
    {Topic::kWorkers, "total", kNoName, kCounter, "requests", kJson, "Ended requests that the worker read.",
     number<&Worker::total>},
    {Topic::kWorkers, "cpu_percent", kNoName, kGauge, "percent", kJson,
     "CPU that the worker used since the previous sample; 100 is one busy core.", number<&Worker::cpu_percent>,
     kSystem},
    {Topic::kWorkers, "memory_mb", kNoName, kGauge, "MB", kJson, "Resident memory of the worker; 1 MB is 2^20 bytes.",
     memory_mb<Worker>, kSystem},
    {Topic::kWorkers, "threads", kNoName, kGauge, "threads", kJson, "Threads of the worker.", number<&Worker::threads>,
     kSystem},

    // A listener.
    {Topic::kListeners, "active", "uvicorn_listener_active_requests", kGauge, "requests", kJson,
     "Requests in flight now on connections that the listener accepted.", number<&Listener::active>},
    {Topic::kListeners, "peak", "uvicorn_listener_active_requests_peak", kGauge, "requests", kJson,
     "The most requests that were in flight at once on the listener since counting began.", number<&Listener::peak>},
    {Topic::kListeners, "total", "uvicorn_listener_requests_total", kCounter, "requests", kJson,
     "Requests of the listener that ended, however they ended.", number<&Listener::total>},
    {Topic::kListeners, "failed", "uvicorn_listener_failed_requests_total", kCounter, "requests", kJson,
     "Requests of the listener that ended with a status of 500 or more, or that the server cut off.",
     number<&Listener::failed>},
    {Topic::kListeners, "aborted", "uvicorn_listener_aborted_requests_total", kCounter, "requests", kJson,
     "Requests of the listener whose client went away first.", number<&Listener::aborted>},
    {Topic::kListeners, "refused", "uvicorn_listener_refused_requests_total", kCounter, "requests", kJson,
     "Requests of the listener that the server refused because of its own concurrency limit.",
     number<&Listener::refused>},
    {Topic::kListeners, "rejected", "uvicorn_listener_rejected_requests_total", kCounter, "requests", kJson,
     "Malformed requests of the listener that the server's parser answered.", number<&Listener::rejected>},
    {Topic::kListeners, "websockets_active", "uvicorn_listener_active_websockets", kGauge, "requests", kJson,
     "Requests in flight on the listener that were upgraded to a WebSocket.", number<&Listener::websockets>},
    {Topic::kListeners, "queue_depth", "uvicorn_listener_queue_depth", kGauge, "connections", kJson,
     "Connections of the listener that wait now: to be accepted, or with unread bytes and no request in flight.",
     number<&Listener::queue_depth>},
    {Topic::kListeners, "open_connections", "uvicorn_listener_open_connections", kGauge, "connections", kJson,
     "Connections of the listener that are accepted and not closed.", number<&Listener::open_connections>},
    {Topic::kListeners, "unproven", kNoName, kGauge, "requests", kJson,
     "What began before the attach and is in flight if the listener speaks HTTP, which nothing has shown yet.",
     number<&Listener::unproven>},
    {Topic::kListeners, "undercount", "uvicorn_listener_undercount_total", kCounter, "events", kJson,
     "Connections or events of the listener that could not be counted.", listener_undercount},
};

void add_summary(const Metric& metric, const Latency& latency, std::vector<Figure>& list) {
  for (const Percentile& percentile : kPercentiles) {
    const std::optional<double> value = latency_quantile(latency, percentile.quantile);
    list.push_back({fmt::format("{}_{}_{}", metric.name, metric.unit, percentile.name), Kind::kGauge,
                    value ? std::optional<Number>(microseconds(*value)) : std::nullopt});
  }
  const auto longest = latency.count != 0 ? std::optional<Number>(microseconds(longest_of(latency))) : std::nullopt;
  list.push_back({fmt::format("{}_{}_max", metric.name, metric.unit), Kind::kGauge, longest});
  list.push_back({fmt::format("{}_recent_count", metric.name), Kind::kGauge, latency.count});
}

// The sum and the count of all statuses.
void add_histogram(const Metric& metric, const std::vector<Durations>& histograms, std::vector<Figure>& list) {
  double sum = 0;
  std::uint64_t count = 0;
  for (const Durations& histogram : histograms) {
    sum += histogram.sum_seconds;
    count = std::accumulate(histogram.buckets.begin(), histogram.buckets.end(), count);
  }
  // Not rounded: three decimals would lose requests that took less than a millisecond.
  list.push_back({fmt::format("{}_{}_sum", metric.name, metric.unit), Kind::kCounter, presentable(sum)});
  list.push_back({fmt::format("{}_count", metric.name), Kind::kCounter, count});
}

}  // namespace

std::span<const Metric> metrics() {
  return kMetrics;
}

const char* kind_name(Kind kind) {
  switch (kind) {
    case Kind::kGauge:
      return "gauge";
    case Kind::kCounter:
      return "counter";
    case Kind::kHistogram:
      return "histogram";
    case Kind::kSummary:
      return "summary";
    case Kind::kInfo:
      return "info";
  }
  return "unknown";
}

std::string json_key(const Metric& metric) {
  return std::string(metric.name) + (metric.kind == Kind::kHistogram ? "s" : "");
}

std::vector<Figure> figures(const Snapshot& snapshot, Output output) {
  std::vector<Figure> list;
  for (const Metric& metric : kMetrics) {
    if ((metric.outputs & output) == 0 || (metric.system && !snapshot.system)) {
      continue;
    }
    if (const auto* const read = std::get_if<Read<Snapshot>>(&metric.read)) {
      list.push_back({metric.name, metric.kind, rounded((*read)(snapshot))});
    } else if (const auto* const read_latency = std::get_if<ReadLatency<Snapshot>>(&metric.read)) {
      add_summary(metric, (*read_latency)(snapshot), list);
    }
  }
  return list;
}

std::vector<Figure> figures(const EndpointCounters& endpoint, Output output) {
  std::vector<Figure> list;
  for (const Metric& metric : kMetrics) {
    if ((metric.outputs & output) == 0) {
      continue;
    }
    if (const auto* const read = std::get_if<Read<EndpointCounters>>(&metric.read)) {
      list.push_back({metric.name, metric.kind, rounded((*read)(endpoint))});
    } else if (const auto* const read_durations = std::get_if<ReadDurations>(&metric.read)) {
      add_histogram(metric, (*read_durations)(endpoint), list);
    } else if (const auto* const read_latency = std::get_if<ReadLatency<EndpointCounters>>(&metric.read)) {
      add_summary(metric, (*read_latency)(endpoint), list);
    }
  }
  return list;
}

Number rounded(const Number& number) {
  const auto* const value = std::get_if<double>(&number);
  return value != nullptr ? Number(rounded(*value)) : number;
}

std::string number_text(const Number& number) {
  return std::visit([](const auto& value) { return fmt::format("{}", value); }, number);
}

}  // namespace monitor
