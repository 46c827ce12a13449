// SPDX-License-Identifier: Apache-2.0
// The JSON object of docs/schema/snapshot.schema.json; change both together. The order of the keys is part of the
// format. JSON knows no bytes, so strings of strangers are escaped as everywhere else: valid UTF-8, and reversible.
#include <nlohmann/json.hpp>

#include "output/endpoints.h"
#include "output/figures.h"
#include "output/named_figures.h"
#include "output/render.h"
#include "output/text.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

constexpr int kSchemaVersion = 1;

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

Json workers(const Snapshot& snapshot) {
  Json list = Json::array();
  for (const WorkerSnapshot& worker : snapshot.workers) {
    Json object = {{"pid", worker.pid}, {"active", worker.active}, {"total", worker.total}};
    if (snapshot.system) {
      object["cpu_percent"] = rounded(worker.cpu_percent);
      object["memory_mb"] = rounded(megabytes(worker.memory_bytes));
      object["threads"] = worker.threads;
    }
    list.push_back(std::move(object));
  }
  return list;
}

}  // namespace

std::string render_json(const Snapshot& snapshot) {
  Json object = Json::object();
  for (const NamedFigure& figure : named_figures(snapshot)) {
    std::visit([&](const auto& value) { object[figure.name] = value; }, figure.value);
  }
  object["undercount_by_cause"] = undercount_by_cause(snapshot);
  object["profile"] = escape_text(snapshot.profile);
  object["schema_version"] = kSchemaVersion;
  object["target"] = target(snapshot);
  object["endpoints"] = endpoints(snapshot);
  object["workers"] = workers(snapshot);
  return object.dump();
}

}  // namespace monitor
