// SPDX-License-Identifier: Apache-2.0
// What `monitor ls` reports about one server, as plain data.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <optional>
#include <string>
#include <vector>

#include "model/counters.h"
#include "model/evidence.h"

namespace monitor {

struct ListedListener {
  std::string address;       // as in ListedServer::listen
  std::optional<bool> http;  // whether it got HTTP; nullopt: no engine is attached that could know
  std::string protocol;      // protocol_name(); empty if unknown or if nothing has passed
};

struct ListedServer {
  pid_t pid = 0;     // root of its process tree
  std::string kind;  // "uvicorn"; "python" if only a guess
  Evidence evidence = Evidence::kListens;
  std::string program;      // each string may hold hostile bytes
  std::string application;  // empty if unknown
  std::string title;        // the program with its application or its arguments
  std::string command;
  std::vector<std::string> listen;
  std::vector<ListedListener> listeners;  // one for each of `listen`, in that order
  std::size_t workers = 0;
  double uptime_seconds = 0;
  std::optional<bool> attached;  // nullopt: the attached engine could not be read
};

// What is known of the listeners of a server that no engine counts: their addresses.
std::vector<ListedListener> unknown_listeners(const std::vector<std::string>& listen);

// What an engine that counts the server knows of them. A listener got HTTP if a request was read from a connection
// that it accepted, or if the server has sent HTTP there.
std::vector<ListedListener> counted_listeners(const std::vector<std::string>& listen, const Counters& counters,
                                              const SocketsSample& sockets);

}  // namespace monitor
