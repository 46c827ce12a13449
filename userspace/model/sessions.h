// SPDX-License-Identifier: Apache-2.0
// What is known of an attached engine, as plain data: what `monitor sessions` tells.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace monitor {

struct EngineInfo {
  std::string version;  // of the program that loaded it
  std::string profile;  // "socket" or "syscall"
  bool raw_paths = false;
  std::uint64_t loaded_ns = 0;  // since boot
};

// How full a map is, and the memory that it takes in the kernel.
struct MapUsage {
  std::string name;
  std::optional<std::uint64_t> entries;  // none where that means nothing
  std::uint64_t capacity = 0;            // 0: bounded by nothing but memory
  std::uint64_t bytes = 0;
};

struct AttachedServer {
  pid_t pid = 0;
  std::string command;  // may hold hostile bytes
  double since = 0;     // wall clock, seconds since 1970 UTC
  double observed_seconds = 0;
  std::uint64_t processes = 0;
};

struct Sessions {
  std::optional<EngineInfo> engine;  // none: nothing is attached
  std::string directory;             // of the pins
  std::vector<AttachedServer> servers;
  std::vector<MapUsage> maps;
};

}  // namespace monitor
