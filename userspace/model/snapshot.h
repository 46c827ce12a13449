// SPDX-License-Identifier: Apache-2.0
// A Snapshot is all that is known about one server at one moment, as plain data; every output is made from it. A pure
// function derives it from what the kernel counted, its list of sockets and what /proc showed.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "model/counters.h"
#include "model/evidence.h"
#include "model/host_sample.h"

namespace monitor {

struct WorkerSnapshot {
  pid_t pid = 0;
  std::uint64_t active = 0;
  std::uint64_t total = 0;
  double cpu_percent = 0;
  std::uint64_t memory_bytes = 0;
  unsigned threads = 0;
};

// The figures of one listener; the words are those of Snapshot.
struct ListenerSnapshot {
  unsigned number = 0;           // as in EndpointCounters; 0: connections whose listener is unknown
  std::string address;           // "127.0.0.1:9999"; empty if unknown
  std::string protocol;          // "http", or what else passes; empty if nothing has shown it
  bool apart = false;            // a child serves something of its own on it: it is in no figure of the server
  std::vector<pid_t> processes;  // that hold it, sorted
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t total = 0;
  std::uint64_t failed = 0;
  std::uint64_t aborted = 0;
  std::uint64_t refused = 0;
  std::uint64_t rejected = 0;
  std::uint64_t websockets = 0;
  std::uint64_t queue_depth = 0;
  std::uint64_t open_connections = 0;
  std::uint64_t unproven = 0;  // may be in flight: began before the attach, and nothing shows that it speaks HTTP
  std::map<std::string, std::uint64_t> undercount;
  std::vector<EndpointCounters> endpoints;  // sorted as those of the server
};

struct Snapshot {
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t total = 0;   // ended, the sum over endpoints
  std::uint64_t failed = 0;  // likewise
  std::uint64_t aborted = 0;
  std::uint64_t refused = 0;
  std::uint64_t rejected = 0;
  std::uint64_t websockets = 0;  // in flight now, the sum over endpoints
  std::uint64_t queue_depth = 0;
  std::uint64_t open_connections = 0;
  std::uint64_t peak_connections = 0;
  Latencies recent;                                 // since the previous sample, the sum over endpoints
  std::uint64_t unproven = 0;                       // the sum over listeners
  std::map<std::string, std::uint64_t> undercount;  // by cause

  bool system = true;      // false: outputs hide CPU, memory and threads, here and in workers (--no-system)
  double cpu_percent = 0;  // 100 is one busy core; over the time since the previous sample
  double cpu_seconds = 0;  // since the server's start, including its ended processes
  std::uint64_t memory_bytes = 0;
  unsigned threads = 0;
  double uptime_seconds = 0;    // since the server's start
  double observed_seconds = 0;  // since counting began
  double not_seen_seconds = 0;  // for how long it may have served before counting began
  bool appeared = false;        // it began to listen while this program ran
  bool ended = false;           // these are its final figures, unless its address is served again
  std::string profile;

  pid_t pid = 0;
  pid_t previous_pid = 0;     // of the root process before, which ended and handed over; 0: there was no handover
  std::vector<pid_t> beside;  // other servers that serve on its address beside it, and are counted with it
  std::string command;
  std::string program;      // without the interpreter and directories
  std::string application;  // empty if unknown
  std::string title;        // the program with its application or its arguments
  Evidence evidence = Evidence::kNamed;
  std::vector<std::string> passed_over;  // the other servers that a search found, one text for each
  std::vector<std::string> listen;
  std::string address;   // of the listener that serves, or of the best guess; names the server
  std::string listener;  // of a view of one listener: its address; of several, separated by commas; otherwise empty

  // Sorted by method and path, each one's durations by status. Endpoints of several listeners with the same method and
  // path are one.
  std::vector<EndpointCounters> endpoints;
  std::vector<ListenerSnapshot> listeners;  // sorted by address
  std::vector<WorkerSnapshot> workers;      // sorted by pid
};

// Computes sums, rates and the lists of workers and listeners. CPU is measured since `before`, or over the whole life
// of each process if there is no earlier sample. A worker is a process that has read a request, or that holds a
// listening socket and has no child that holds one: a supervisor holds the socket too.
Snapshot make_snapshot(const Counters& counters, const SocketsSample& sockets, const HostSample& now,
                       const std::optional<HostSample>& before, const ListenerHints& hints = {});

// A view of those listeners whose address is in `addresses`: the figures of requests, connections and the queue are
// theirs; those of processes stay. The peak of several listeners is the highest of their peaks, and no less than what
// is in flight now.
Snapshot restrict_to(const Snapshot& snapshot, const std::vector<std::string>& addresses);

// The views that a choice of listeners makes of a snapshot: the snapshot itself, or one for the listeners that match,
// or with `each` one for each. Views of each leave out CPU, memory and threads, which are not by listener. Empty if no
// listener matches.
std::vector<Snapshot> choose_listeners(const Snapshot& snapshot, const ListenerChoice& choice);

}  // namespace monitor
