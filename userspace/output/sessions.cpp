// SPDX-License-Identifier: Apache-2.0
// The two forms of `monitor sessions`: text and JSON.
#include "output/sessions.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include <cmath>
#include <ctime>
#include <nlohmann/json.hpp>
#include <numeric>

#include "output/figures.h"
#include "output/text.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;

constexpr double kKilobyte = 1024;

std::uint64_t total_bytes(const Sessions& sessions) {
  return std::accumulate(sessions.maps.begin(), sessions.maps.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const MapUsage& map) { return sum + map.bytes; });
}

std::string map_line(const MapUsage& map) {
  std::string fill;
  if (map.entries && map.capacity != 0) {
    fill = fmt::format("{} of {}", *map.entries, map.capacity);
  } else if (map.entries) {
    fill = fmt::format("{}", *map.entries);
  }
  return fmt::format("  {:<24}{:<20}{:>10.1f} kB\n", map.name, fill, static_cast<double>(map.bytes) / kKilobyte);
}

// How the engine differs in what it keeps of a path.
const char* paths_text(const EngineInfo& engine) {
  if (!engine.raw_paths) {
    return "";
  }
  return engine.show_secrets ? ", paths as sent, secrets shown" : ", paths as sent";
}

std::string utc_time(double seconds) {
  return fmt::format("{:%Y-%m-%dT%H:%M:%SZ}", fmt::gmtime(static_cast<std::time_t>(seconds)));
}

}  // namespace

std::string format_time(double seconds_since_1970) {
  return fmt::format("{:%Y-%m-%d %H:%M:%S}", fmt::localtime(static_cast<std::time_t>(seconds_since_1970)));
}

std::string render_sessions(const Sessions& sessions) {
  if (!sessions.engine) {
    return "No server is attached.\n";
  }
  std::string text;
  for (const AttachedServer& server : sessions.servers) {
    if (server.kept_seconds) {
      text += fmt::format("pid {}  has ended; kept for {} in case its address is served again\n", server.pid,
                          format_uptime(*server.kept_seconds));
      continue;
    }
    text += fmt::format("pid {}  since {} ({})  {} process{}  {}\n", server.pid, format_time(server.since),
                        format_uptime(server.observed_seconds), server.processes, server.processes == 1 ? "" : "es",
                        escape_text(server.command));
  }
  text += fmt::format("\nEngine at {}: monitor {}, profile {}{}{}\n", escape_text(sessions.directory),
                      escape_text(sessions.engine->version), sessions.engine->profile, paths_text(*sessions.engine),
                      sessions.engine->routes_hash != 0 ? ", with templates of paths" : "");
  text += fmt::format("  {:<24}{:<20}{:>13}\n", "map", "entries", "kernel memory");
  for (const MapUsage& map : sessions.maps) {
    text += map_line(map);
  }
  text += map_line({"in all", std::nullopt, 0, total_bytes(sessions)});
  return text;
}

std::string render_sessions_json(const Sessions& sessions) {
  Json servers = Json::array();
  for (const AttachedServer& server : sessions.servers) {
    servers.push_back(
        {{"pid", server.pid},
         {"command", escape_text(server.command)},
         {"since", utc_time(server.since)},
         {"observed_seconds", std::round(server.observed_seconds * 1000) / 1000},
         {"processes", server.processes},
         {"kept_seconds", server.kept_seconds ? Json(std::round(*server.kept_seconds * 1000) / 1000) : Json(nullptr)}});
  }
  Json engine = nullptr;
  if (sessions.engine) {
    Json maps = Json::array();
    for (const MapUsage& map : sessions.maps) {
      maps.push_back({{"name", map.name},
                      {"entries", map.entries ? Json(*map.entries) : Json(nullptr)},
                      {"capacity", map.capacity != 0 ? Json(map.capacity) : Json(nullptr)},
                      {"memory_bytes", map.bytes}});
    }
    engine = {{"directory", escape_text(sessions.directory)},  {"version", escape_text(sessions.engine->version)},
              {"profile", sessions.engine->profile},           {"raw_paths", sessions.engine->raw_paths},
              {"show_secrets", sessions.engine->show_secrets}, {"routes", sessions.engine->routes_hash != 0},
              {"memory_bytes", total_bytes(sessions)},         {"maps", std::move(maps)}};
  }
  return Json{{"sessions", std::move(servers)}, {"engine", std::move(engine)}}.dump();
}

}  // namespace monitor
