// SPDX-License-Identifier: Apache-2.0
// The two forms of `monitor ls`: text and JSON.
#include "output/listed.h"

#include <fmt/format.h>

#include <cmath>
#include <nlohmann/json.hpp>

#include "output/text.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

std::string listeners(const ListedServer& server) {
  std::string text;
  for (const std::string& address : server.listen) {
    text += (text.empty() ? "" : ", ") + escape_text(address);
  }
  return text;
}

// "uvicorn by its command line", "a guess: a Python that listens"
std::string found_by(const ListedServer& server) {
  const std::string_view how = evidence_text(server.evidence);
  return is_guess(server.evidence) ? std::string(how) : fmt::format("{}, {}", escape_text(server.kind), how);
}

}  // namespace

std::string render_listed(const std::vector<ListedServer>& servers) {
  if (servers.empty()) {
    return "No HTTP server in Python was found.\n";
  }
  std::string text;
  for (const ListedServer& server : servers) {
    text += fmt::format("pid {} on {}: {}\n    {}; {} worker{}; up {}{}\n", server.pid, listeners(server),
                        escape_text(server.title), found_by(server), server.workers, server.workers == 1 ? "" : "s",
                        format_uptime(server.uptime_seconds),
                        server.attached.value_or(false) && server.evidence != Evidence::kAttached ? "; attached" : "");
  }
  return text;
}

std::string render_listed_json(const std::vector<ListedServer>& servers) {
  Json list = Json::array();
  for (const ListedServer& server : servers) {
    Json listen = Json::array();
    for (const std::string& address : server.listen) {
      listen.push_back(escape_text(address));
    }
    list.push_back({{"pid", server.pid},
                    {"kind", escape_text(server.kind)},
                    {"evidence", evidence_name(server.evidence)},
                    {"guess", is_guess(server.evidence)},
                    {"program", escape_text(server.program)},
                    {"application", server.application.empty() ? Json(nullptr) : Json(escape_text(server.application))},
                    {"command", escape_text(server.command)},
                    {"listen", std::move(listen)},
                    {"workers", server.workers},
                    {"uptime_seconds", std::round(server.uptime_seconds * 1000) / 1000},
                    {"attached", server.attached ? Json(*server.attached) : Json(nullptr)}});
  }
  return Json{{"servers", std::move(list)}}.dump();
}

}  // namespace monitor
