// SPDX-License-Identifier: Apache-2.0
// The settings of an engine. Their defaults and bounds are here and nowhere else.
#pragma once

#include <cstdint>
#include <memory>
#include <string>

#include "routes/table.h"

namespace monitor {

// docs/attach.md describes the limits and what they cost.
struct EngineOptions {
  bool raw_paths = false;                      // endpoints as sent, identifiers not folded
  bool show_secrets = false;                   // with raw_paths: what can be a secret, too
  bool verbose = false;                        // libbpf's own messages to stderr
  std::string profile = "auto";                // "auto", "socket" or "syscall"
  std::string version;                         // of this program, stored in the engine for other versions to read
  std::shared_ptr<const RouteTable> routes{};  // templates of paths; null: only folding names endpoints
  std::uint32_t max_targets = 16;
  std::uint32_t max_endpoints = 2048;     // of all targets together
  std::uint32_t max_connections = 65536;  // recorded by address: those of Unix sockets, under "syscall" all
};

// The largest limits that the command line accepts.
inline constexpr std::uint32_t kMostTargets = 1024;
inline constexpr std::uint32_t kMostEndpoints = 1U << 20;
inline constexpr std::uint32_t kMostConnections = 1U << 22;

}  // namespace monitor
