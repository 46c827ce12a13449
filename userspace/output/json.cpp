// SPDX-License-Identifier: Apache-2.0
// The JSON object of docs/schema/snapshot.schema.json; change both together. The order of the keys is part of the
// format. JSON has no bytes, so text.h escapes strings that others wrote: the result is valid UTF-8 and reversible.
#include <array>
#include <map>
#include <nlohmann/json.hpp>
#include <type_traits>

#include "output/endpoints.h"
#include "output/figures.h"
#include "output/metrics.h"
#include "output/render.h"
#include "output/text.h"
#include "output/warnings.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 2;

// A metric's value in JSON, for each type that the registry reads.
Json to_json(const Number& number) {
  return std::visit([](const auto& value) { return Json(value); }, rounded(number));
}

// The causes that occurred.
Json to_json(const std::map<std::string, std::uint64_t>& counts) {
  Json causes = Json::object();
  for (const auto& [cause, count] : counts) {
    if (count > 0) {
      causes[escape_text(cause)] = count;
    }
  }
  return causes;
}

Json to_json(const std::array<std::uint64_t, 6>& classes) {
  return {{"1xx", classes[1]}, {"2xx", classes[2]}, {"3xx", classes[3]},
          {"4xx", classes[4]}, {"5xx", classes[5]}, {"none", classes[0]}};
}

// "200"; "other" for the statuses that share a histogram; "none" for requests without a status.
std::string status_name(const Durations& durations) {
  if (durations.other) {
    return "other";
  }
  return durations.status ? std::to_string(*durations.status) : "none";
}

// Thousands of endpoints have many buckets, so they are built in place: an initializer list copies each value.
// Counts are cumulative, as in Prometheus. A bound at which the count does not grow is left out, and so is the bucket
// past the last bound: with a thousand endpoints they would be most of the document.
Json to_json(const std::vector<Durations>& histograms) {
  Json list = Json::array();
  for (const Durations& histogram : histograms) {
    Json buckets = Json::array();
    std::uint64_t count = 0;
    for (std::size_t i = 0; i < kDurationBounds.size(); ++i) {
      if (histogram.buckets.at(i) == 0) {
        continue;
      }
      count += histogram.buckets.at(i);
      Json& bucket = buckets.emplace_back(Json::object());
      bucket["le"] = kDurationBounds.at(i);
      bucket["count"] = count;
    }
    list.push_back({{"status", status_name(histogram)},
                    {"count", count + histogram.buckets.back()},
                    {"sum_seconds", microseconds(histogram.sum_seconds)},
                    {"buckets", std::move(buckets)}});
  }
  return list;
}

// Times of requests: null where there were none.
Json to_json(const Latency& latency) {
  Json summary = {{"count", latency.count}};
  for (const Percentile& percentile : kPercentiles) {
    const std::optional<double> value = latency_quantile(latency, percentile.quantile);
    summary[percentile.name] = value ? Json(microseconds(*value)) : Json(nullptr);
  }
  summary["max"] = latency.count != 0 ? Json(microseconds(longest_of(latency))) : Json(nullptr);
  return summary;
}

// Adds the metrics of a server, an endpoint or a worker, in the order of the registry.
template <typename Subject>
void add_metrics(const Subject& subject, bool system, Json& object) {
  for (const Metric& metric : metrics()) {
    if ((metric.outputs & kJson) == 0 || (metric.system && !system)) {
      continue;
    }
    std::visit(
        [&](const auto& read) {
          if constexpr (std::is_invocable_v<decltype(read), const Subject&>) {
            object[json_key(metric)] = to_json(read(subject));
          }
        },
        metric.read);
  }
}

Json target(const Snapshot& snapshot) {
  Json listen = Json::array();
  for (const std::string& address : snapshot.listen) {
    listen.push_back(escape_text(address));
  }
  return {{"pid", snapshot.pid},
          {"command", escape_text(snapshot.command)},
          {"listen", std::move(listen)},
          {"address", snapshot.address.empty() ? Json(nullptr) : Json(escape_text(snapshot.address))},
          {"listener", snapshot.listener.empty() ? Json(nullptr) : Json(escape_text(snapshot.listener))},
          {"program", escape_text(snapshot.program)},
          {"application", snapshot.application.empty() ? Json(nullptr) : Json(escape_text(snapshot.application))},
          {"evidence", evidence_name(snapshot.evidence)},
          {"previous_pid", snapshot.previous_pid == 0 ? Json(nullptr) : Json(snapshot.previous_pid)}};
}

Json listeners(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const ListenerSnapshot& listener : snapshot.listeners) {
    Json object = {{"address", listener.address.empty() ? Json(nullptr) : Json(escape_text(listener.address))},
                   {"protocol", listener.protocol.empty() ? Json(nullptr) : Json(listener.protocol)},
                   {"own", !listener.apart},
                   {"processes", listener.processes}};
    add_metrics(listener, snapshot.system, object);
    list.push_back(std::move(object));
  }
  return list;
}

Json endpoints(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const EndpointCounters& endpoint : snapshot.endpoints) {
    Json object = {{"method", display_path(endpoint.method, endpoint.method_cut)}, {"path", endpoint_path(endpoint)}};
    add_metrics(endpoint, snapshot.system, object);
    list.push_back(std::move(object));
  }
  return list;
}

Json workers(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const WorkerSnapshot& worker : snapshot.workers) {
    Json object = {{"pid", worker.pid}};
    add_metrics(worker, snapshot.system, object);
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace

std::string render_json(const Snapshot& snapshot) {
  Json object = Json::object();
  add_metrics(snapshot, snapshot.system, object);
  object["profile"] = escape_text(snapshot.profile);
  object["schema_version"] = kSchemaVersion;
  object["target"] = target(snapshot);
  object["endpoints"] = endpoints(snapshot);
  object["workers"] = workers(snapshot);
  object["listeners"] = listeners(snapshot);
  object["warnings"] = warnings(snapshot);
  return object.dump();
}

}  // namespace monitor
