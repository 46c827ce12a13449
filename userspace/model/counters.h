// SPDX-License-Identifier: Apache-2.0
// What the kernel side counted for one server, as plain data: filled by session/, consumed by snapshot.h. The words
// are those of docs/metrics: active = in flight now; completed = every end, however it ended.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace monitor {

// The bounds of durations in seconds: OpenTelemetry's of http.server.request.duration.
inline constexpr std::array<double, 14> kDurationBounds = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25,
                                                           0.5,   0.75, 1,     2.5,  5,     7.5, 10};

// How long requests took that ended with one status, from the last byte of their heads to the end.
struct Durations {
  std::optional<unsigned> status;  // none: those that ended without one
  bool other = false;              // of statuses that had no room of their own
  double sum_seconds = 0;
  std::array<std::uint64_t, kDurationBounds.size() + 1> buckets{};  // up to each bound, and past the last
};

struct EndpointCounters {
  std::string method;     // bytes as the client sent them, may be hostile; empty for "(other)" and its like
  std::string path;       // the same; without query, folded unless --raw-paths
  bool path_cut = false;  // the client's path was longer than what is kept
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t websockets = 0;           // in flight now, upgraded by a 101
  std::array<std::uint64_t, 6> status{};  // [n]: ended with status class n (1..5); [0]: without a final status
  bool method_cut = false;                // the client's method was longer than what is kept
  std::vector<Durations> durations;       // of requests whose begin was seen: all but "(before attach)"
};

struct WorkerCounters {
  std::uint64_t active = 0;
  std::uint64_t total = 0;  // ended
};

struct Counters {
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t refused = 0;
  std::uint64_t rejected = 0;
  std::uint64_t peak_connections = 0;
  std::map<std::string, std::uint64_t> undercount;  // by cause, those too that never occurred
  std::vector<EndpointCounters> endpoints;          // all that were ever seen, special ones too when not all zero
  std::map<pid_t, WorkerCounters> workers;          // every live process of the server
  double observed_seconds = 0;                      // since counting began
  std::string profile;                              // "socket" or "syscall"
};

// What the kernel's own list of the server's sockets says at one look.
struct SocketsSample {
  std::uint64_t open_connections = 0;       // accepted and not closed, idle ones too
  std::uint64_t accept_queue = 0;           // waiting in the accept queues, each listener once
  std::uint64_t unread = 0;                 // accepted, no request in flight, bytes unread
  std::vector<std::string> listen;          // "127.0.0.1:9999", "[::]:80", "unix:/run/a.sock", sorted, unique
  std::vector<pid_t> listeners;             // processes that hold a listening socket, sorted
  std::vector<std::uint16_t> listen_ports;  // TCP ports, sorted, unique
};

}  // namespace monitor
