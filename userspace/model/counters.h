// SPDX-License-Identifier: Apache-2.0
// What the kernel side counted for one server, as plain data: session/ fills it, snapshot.h consumes it. The words are
// those of docs/metrics.md: active = in flight now; completed = ended, however it ended.
#pragma once

#include <sys/types.h>

#include <array>
#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "model/latency.h"
#include "model/listeners.h"

namespace monitor {

// The bounds of the buckets of durations, in seconds: OpenTelemetry's for http.server.request.duration, and more for
// streams.
inline constexpr std::array<double, 20> kDurationBounds = {0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1,
                                                           2.5,   5,    7.5,   10,   15,    30,  60,   120, 300,  600};

// The first of them, up to 10 s, are OpenTelemetry's.
inline constexpr std::size_t kUsualBounds = 14;

// A histogram of how long requests with one final status took, from the last byte of the request head to the end of the
// response.
struct Durations {
  std::optional<unsigned> status;  // nullopt: the requests ended without a status, or `other` is set
  bool other = false;              // the statuses after the endpoint's first six, which share one histogram
  double sum_seconds = 0;
  std::array<std::uint64_t, kDurationBounds.size() + 1> buckets{};  // not cumulative; the last one has no bound
};

struct EndpointCounters {
  unsigned listener = 0;  // number of the listener that accepted the connections
  std::string method;     // bytes as the client sent them, may be hostile; empty for "(other)" and the like
  std::string path;       // bytes too; without query, and folded unless --raw-paths
  bool path_cut = false;  // the client's path was too long and is cut
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t completed = 0;
  std::uint64_t failed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t websockets = 0;           // in flight now, upgraded by a 101
  std::array<std::uint64_t, 6> status{};  // [n]: ended with status class n (1..5); [0]: without a final status
  bool method_cut = false;                // the client's method was too long and is cut
  std::vector<Durations> durations;       // one for each status; "(before attach)" has none, because begins are unknown
  Latencies latencies;                    // since counting began
  Latencies recent;                       // since the previous sample; in the first one, since counting began
};

struct WorkerCounters {
  std::uint64_t active = 0;
  std::uint64_t total = 0;  // ended
};

struct Counters {
  std::uint64_t active = 0;  // on listeners that are not apart, without the unproven ones
  std::uint64_t peak = 0;    // of `active`
  std::uint64_t peak_connections = 0;
  std::map<std::string, std::uint64_t> undercount;  // by cause, including causes that never occurred; of no connection
  std::vector<ListenerCounters> listeners;          // by number
  unsigned main_listener = 0;                       // number of the one that named the server so far; 0: none did
  std::vector<EndpointCounters> endpoints;          // every one ever seen; a special one only if it counted anything
  std::map<pid_t, WorkerCounters> workers;          // every live process of the server
  double since_seconds = 0;                         // when counting began, since boot
  double observed_seconds = 0;                      // from then until now
  std::string profile;                              // "socket" or "syscall"
};

// What the kernel's own list of the server's sockets contains at one moment.
struct SocketsSample {
  std::uint64_t open_connections = 0;       // accepted and not closed, including idle ones
  std::uint64_t accept_queue = 0;           // waiting in the accept queues, each listener once
  std::uint64_t unread = 0;                 // accepted, no request in flight, bytes unread
  std::vector<std::string> listen;          // "127.0.0.1:9999", "[::]:80", "unix:/run/a.sock", sorted, unique
  std::vector<std::uint16_t> listen_ports;  // TCP ports, sorted, unique
  std::vector<ListenerSample> by_listener;  // one for each of `listen`, in that order
};

// Takes the accept queues of the sockets in `counted` out of the sample, and adds its other sockets to them. Servers
// can share a listening socket, which their supervisor opened: in the figures of several servers its queue counts once.
void count_queues_once(SocketsSample& sample, std::set<std::uint64_t>& counted);

}  // namespace monitor
