// SPDX-License-Identifier: Apache-2.0
// The JSON object of docs/schema/snapshot.schema.json; change both together. The order of the keys is part of the
// format. JSON knows no bytes, so strings of strangers are escaped as everywhere else: valid UTF-8, and reversible.
#include <cmath>
#include <nlohmann/json.hpp>

#include "output/endpoints.h"
#include "output/figures.h"
#include "output/render.h"
#include "output/text.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 1;

// Three decimals: a millisecond, a thousandth of a percent. More would be noise.
double rounded(double value) {
  return std::round(presentable(value) * 1000) / 1000;
}

Json undercount_by_cause(const Snapshot& snapshot) {
  Json causes = Json::object();
  for (const auto& [cause, count] : snapshot.undercount) {
    if (count > 0) {
      causes[escape_text(cause)] = count;
    }
  }
  return causes;
}

Json target(const Snapshot& snapshot) {
  Json listen = Json::array();
  for (const std::string& address : snapshot.listen) {
    listen.push_back(escape_text(address));
  }
  return {{"pid", snapshot.pid}, {"command", escape_text(snapshot.command)}, {"listen", std::move(listen)}};
}

Json status_classes(const EndpointCounters& endpoint) {
  return {{"1xx", endpoint.status[1]}, {"2xx", endpoint.status[2]}, {"3xx", endpoint.status[3]},
          {"4xx", endpoint.status[4]}, {"5xx", endpoint.status[5]}, {"none", endpoint.status[0]}};
}

Json endpoints(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const EndpointCounters& endpoint : snapshot.endpoints) {
    list.push_back({{"method", display_path(endpoint.method, endpoint.method_cut)},
                    {"path", endpoint_path(endpoint)},
                    {"active", endpoint.active},
                    {"peak", endpoint.peak},
                    {"completed", endpoint.completed},
                    {"failed", endpoint.failed},
                    {"aborted", endpoint.aborted},
                    {"websockets_active", endpoint.websockets},
                    {"status", status_classes(endpoint)}});
  }
  return list;
}

// Of the server or of a worker.
template <typename Figures>
void add_system(const Figures& figures, Json& object) {
  object["cpu_percent"] = rounded(figures.cpu_percent);
  object["memory_mb"] = rounded(megabytes(figures.memory_bytes));
  object["threads"] = figures.threads;
}

Json workers(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const WorkerSnapshot& worker : snapshot.workers) {
    Json object = {{"pid", worker.pid}, {"active", worker.active}, {"total", worker.total}};
    if (snapshot.system) {
      add_system(worker, object);
    }
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace

std::string render_json(const Snapshot& snapshot) {
  Json object = {{"active_concurrent", snapshot.active},
                 {"peak_concurrent", snapshot.peak},
                 {"total_requests", snapshot.total},
                 {"failed_requests", snapshot.failed},
                 {"queue_depth", snapshot.queue_depth}};
  if (snapshot.system) {
    add_system(snapshot, object);
  }
  object.update({{"uptime_seconds", rounded(snapshot.uptime_seconds)},
                 {"observed_seconds", rounded(snapshot.observed_seconds)},
                 {"open_connections", snapshot.open_connections},
                 {"peak_connections", snapshot.peak_connections},
                 {"aborted_requests", snapshot.aborted},
                 {"refused_requests", snapshot.refused},
                 {"rejected_requests", snapshot.rejected},
                 {"websockets_active", snapshot.websockets},
                 {"undercount", undercount_sum(snapshot)},
                 {"undercount_by_cause", undercount_by_cause(snapshot)},
                 {"profile", escape_text(snapshot.profile)},
                 {"schema_version", kSchemaVersion},
                 {"target", target(snapshot)},
                 {"endpoints", endpoints(snapshot)},
                 {"workers", workers(snapshot)}});
  return object.dump();
}

}  // namespace monitor
