// SPDX-License-Identifier: Apache-2.0
// The two forms of `monitor ls`: text and JSON.
#include "output/listed.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>
#include <utility>

#include "output/text.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::string_view kNothing = "nothing yet";

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

// "http on 127.0.0.1:8000; nothing yet on 127.0.0.1:9464". Without an engine that counts the server nobody knows, which
// must not look like "no HTTP".
std::string protocols(const ListedServer& server) {
  if (!server.attached) {
    return "protocols unknown: the attached engine cannot be read";
  }
  if (!*server.attached) {
    return "protocols unknown: not attached";
  }
  std::vector<std::pair<std::string, std::string>> found;  // a protocol and its addresses
  for (const ListedListener& listener : server.listeners) {
    std::string name = listener.protocol;
    if (!listener.http) {
      name = "unknown";
    } else if (name.empty()) {
      name = kNothing;
    } else if (name == "unknown") {
      name = "not HTTP";
    }
    const auto same =
        std::find_if(found.begin(), found.end(), [&name](const auto& pair) { return pair.first == name; });
    if (same == found.end()) {
      found.emplace_back(std::move(name), escape_text(listener.address));
    } else {
      same->second += ", " + escape_text(listener.address);
    }
  }
  std::stable_sort(found.begin(), found.end(), [](const auto& left, const auto& right) {
    return std::pair(left.first != "http", left.first == kNothing) <
           std::pair(right.first != "http", right.first == kNothing);
  });
  std::string text;
  for (const auto& [name, addresses] : found) {
    text.append(text.empty() ? "" : "; ").append(name).append(" on ").append(addresses);
  }
  return text;
}

}  // namespace

std::string render_listed(const std::vector<ListedServer>& servers) {
  if (servers.empty()) {
    return "No HTTP server in Python was found.\n";
  }
  std::string text;
  for (const ListedServer& server : servers) {
    text += fmt::format("pid {} on {}: {}\n    {}; {} worker{}; up {}{}\n    {}\n", server.pid, listeners(server),
                        escape_text(server.title), found_by(server), server.workers, server.workers == 1 ? "" : "s",
                        format_uptime(server.uptime_seconds),
                        server.attached.value_or(false) && server.evidence != Evidence::kAttached ? "; attached" : "",
                        protocols(server));
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
    Json listeners = Json::array();
    for (const ListedListener& listener : server.listeners) {
      listeners.push_back({{"address", escape_text(listener.address)},
                           {"http", listener.http ? Json(*listener.http) : Json(nullptr)},
                           {"protocol", listener.protocol.empty() ? Json(nullptr) : Json(listener.protocol)}});
    }
    list.push_back({{"pid", server.pid},
                    {"kind", escape_text(server.kind)},
                    {"evidence", evidence_name(server.evidence)},
                    {"guess", is_guess(server.evidence)},
                    {"program", escape_text(server.program)},
                    {"application", server.application.empty() ? Json(nullptr) : Json(escape_text(server.application))},
                    {"command", escape_text(server.command)},
                    {"listen", std::move(listen)},
                    {"listeners", std::move(listeners)},
                    {"workers", server.workers},
                    {"uptime_seconds", std::round(server.uptime_seconds * 1000) / 1000},
                    {"attached", server.attached ? Json(*server.attached) : Json(nullptr)}});
  }
  return Json{{"servers", std::move(list)}}.dump();
}

}  // namespace monitor
