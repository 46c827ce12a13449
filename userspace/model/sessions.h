// SPDX-License-Identifier: Apache-2.0
// What `monitor sessions` reports about an attached engine, as plain data.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace monitor {

struct EngineInfo {
  std::string version;  // of the `monitor` that loaded it
  std::string profile;  // "socket" or "syscall"
  bool raw_paths = false;
  bool show_secrets = false;
  std::uint64_t routes_hash = 0;  // of its templates of paths; 0: it has no templates
  std::uint64_t loaded_ns = 0;    // since boot
};

// How full a map is, and how much kernel memory it takes.
struct MapUsage {
  std::string name;
  std::optional<std::uint64_t> entries;  // nullopt if entries have no meaning for this map
  std::uint64_t capacity = 0;            // 0: bounded by memory only
  std::uint64_t bytes = 0;
};

struct AttachedServer {
  pid_t pid = 0;
  std::string command;  // may hold hostile bytes
  double since = 0;     // wall clock, seconds since 1970 UTC
  double observed_seconds = 0;
  std::uint64_t processes = 0;
  std::optional<double> kept_seconds = std::nullopt;  // set if it has ended: for how much longer it is kept
};

struct Sessions {
  std::optional<EngineInfo> engine;  // nullopt: nothing is attached
  std::string directory;             // that holds the pins
  std::vector<AttachedServer> servers;
  std::vector<MapUsage> maps;
};

}  // namespace monitor
