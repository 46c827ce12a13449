// SPDX-License-Identifier: Apache-2.0
// What `monitor ls` reports about one server, as plain data.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "model/evidence.h"

namespace monitor {

struct ListedServer {
  pid_t pid = 0;     // root of its process tree
  std::string kind;  // "uvicorn"; "python" if only a guess
  Evidence evidence = Evidence::kListens;
  std::string program;      // each string may hold hostile bytes
  std::string application;  // empty if unknown
  std::string title;        // the program with its application or its arguments
  std::string command;
  std::vector<std::string> listen;
  std::size_t workers = 0;
  double uptime_seconds = 0;
  std::optional<bool> attached;  // nullopt: the attached engine could not be read
};

}  // namespace monitor
