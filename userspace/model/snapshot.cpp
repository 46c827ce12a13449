// SPDX-License-Identifier: Apache-2.0
// Derives one Snapshot from what the kernel counted, its list of sockets and what /proc showed. Pure: nothing here
// reads a clock or a file.
#include "model/snapshot.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <tuple>
#include <utility>

#include "model/listener_figures.h"

namespace monitor {
namespace {

// /proc has start times and CPU in ticks of 10 ms. A process younger than a tick would seem to use many times its
// share.
constexpr double kTickSeconds = 0.01;

double at_least_zero(double value) {
  return std::isfinite(value) && value > 0 ? value : 0;
}

using ProcessKey = std::pair<pid_t, double>;

// Pid and start time, because the kernel reuses pids.
ProcessKey key_of(const ProcessSample& process) {
  return {process.pid, process.start_seconds};
}

// The CPU of a process, and of its descendants that have ended.
struct Cpu {
  double own = 0;
  double reaped = 0;
};

// What /proc showed earlier, so that `now` can be compared with it.
class EarlierSample {
 public:
  EarlierSample(const std::optional<HostSample>& sample, const HostSample& now) {
    if (!sample) {
      return;
    }
    at_seconds_ = sample->at_seconds;
    for (const ProcessSample& process : sample->processes) {
      cpu_[key_of(process)] = {process.cpu_seconds, process.reaped_cpu_seconds};
    }
    add_ended(*sample, now);
  }

  // The CPU that the process and its ended descendants had used by then; nullopt if that sample lacks the process.
  std::optional<Cpu> cpu(const ProcessSample& process) const {
    const auto found = cpu_.find(key_of(process));
    return found == cpu_.end() ? std::nullopt : std::optional<Cpu>(found->second);
  }

  // The time from this sample to `now`; 0 if there is no sample or it is not earlier.
  double window(const HostSample& now) const { return at_seconds_ ? at_least_zero(now.at_seconds - *at_seconds_) : 0; }

 private:
  // A process that has ended since then is in the reaped time of its nearest ancestor that lives, with all its CPU.
  // What it had used by then was reported by then.
  void add_ended(const HostSample& sample, const HostSample& now) {
    std::set<ProcessKey> living;
    for (const ProcessSample& process : now.processes) {
      living.insert(key_of(process));
    }
    std::map<pid_t, const ProcessSample*> by_pid;
    for (const ProcessSample& process : sample.processes) {
      by_pid.emplace(process.pid, &process);
    }
    for (const ProcessSample& process : sample.processes) {
      // The parents in a sample need not form a tree, because it takes a while.
      const ProcessSample* ancestor = &process;
      for (std::size_t steps = 0; ancestor != nullptr && !living.contains(key_of(*ancestor)); ++steps) {
        const auto parent = by_pid.find(ancestor->parent);
        ancestor = parent == by_pid.end() || steps > by_pid.size() ? nullptr : parent->second;
      }
      if (ancestor != nullptr && ancestor != &process) {
        cpu_[key_of(*ancestor)].reaped +=
            at_least_zero(process.cpu_seconds) + at_least_zero(process.reaped_cpu_seconds);
      }
    }
  }

  std::optional<double> at_seconds_;
  std::map<ProcessKey, Cpu> cpu_;
};

// A process that is missing in the earlier sample was usually born since then: all its CPU falls into the window, which
// is longer than its life. If it is older than the window, it joined the tree, and only the mean over its life is
// known. The same holds if there is no earlier sample.
Cpu cpu_percent(const ProcessSample& process, const EarlierSample& before, const HostSample& now) {
  const double window = before.window(now);
  const std::optional<Cpu> earlier = before.cpu(process);
  if (earlier && window > 0) {
    return {at_least_zero(100 * (process.cpu_seconds - earlier->own) / window),
            at_least_zero(100 * (process.reaped_cpu_seconds - earlier->reaped) / window)};
  }
  const double life = at_least_zero(now.at_seconds - process.start_seconds);
  const double span = std::max({life, window, kTickSeconds});
  return {at_least_zero(100 * process.cpu_seconds / span), at_least_zero(100 * process.reaped_cpu_seconds / span)};
}

// The counters of a listener, or null if the kernel side does not know it yet.
const ListenerCounters* counters_of(const ListenerSample& sample, const Counters& counters) {
  const auto found = std::find_if(
      counters.listeners.begin(), counters.listeners.end(),
      [&sample](const ListenerCounters& other) { return sample.number != 0 && other.number == sample.number; });
  return found == counters.listeners.end() ? nullptr : &*found;
}

// Whether the listener is one of the server's for HTTP: not apart, and it has not shown something else.
bool is_for_requests(const ListenerCounters* listener) {
  return listener == nullptr || (!listener->apart && (!listener->foreign || listener->http));
}

// The processes that hold a listener for which `is_wanted` holds.
template <typename IsWanted>
std::set<pid_t> holders(const Counters& counters, const SocketsSample& sockets, IsWanted is_wanted) {
  std::set<pid_t> pids;
  for (const ListenerSample& sample : sockets.by_listener) {
    if (is_wanted(counters_of(sample, counters))) {
      pids.insert(sample.holders.begin(), sample.holders.end());
    }
  }
  return pids;
}

// The processes that accept: they hold a listening socket for requests, and no child of theirs does. A supervisor holds
// the socket only for its workers to inherit.
std::vector<pid_t> accepting(const HostSample& host, const std::set<pid_t>& holders) {
  const auto listens = [&holders](pid_t pid) { return holders.contains(pid); };
  std::vector<pid_t> pids;
  for (const ProcessSample& process : host.processes) {
    const bool supervises = std::any_of(host.processes.begin(), host.processes.end(), [&](const ProcessSample& other) {
      return other.parent == process.pid && other.pid != process.pid && listens(other.pid);
    });
    if (listens(process.pid) && !supervises) {
      pids.push_back(process.pid);
    }
  }
  return pids;
}

bool got_requests(const Counters& counters, pid_t pid) {
  const auto counted = counters.workers.find(pid);
  return counted != counters.workers.end() && (counted->second.active != 0 || counted->second.total != 0);
}

// Whether the process only inherited the listening sockets of a parent that serves requests itself, as a manager of
// multiprocessing does. A supervisor serves none.
bool inherited_only(const Counters& counters, const HostSample& host, pid_t pid) {
  const auto process = std::find_if(host.processes.begin(), host.processes.end(),
                                    [pid](const ProcessSample& other) { return other.pid == pid; });
  return process != host.processes.end() && !got_requests(counters, pid) && got_requests(counters, process->parent);
}

// A worker that was forked or that ended between the two samples is missing in /proc. Its requests are in the totals,
// so it is listed; its CPU, memory and threads are 0 until the next snapshot.
std::vector<WorkerSnapshot> list_workers(const Counters& counters, const SocketsSample& sockets, const HostSample& now,
                                         const EarlierSample& before) {
  std::map<pid_t, WorkerSnapshot> workers;
  const std::set<pid_t> theirs = holders(counters, sockets, is_for_requests);
  const std::set<pid_t> apart = holders(
      counters, sockets, [](const ListenerCounters* listener) { return listener != nullptr && listener->apart; });
  for (const pid_t pid : accepting(now, theirs)) {
    if (!inherited_only(counters, now, pid)) {
      workers[pid].pid = pid;
    }
  }
  for (const auto& [pid, counted] : counters.workers) {
    if (!got_requests(counters, pid) || (apart.contains(pid) && !theirs.contains(pid))) {
      continue;
    }
    WorkerSnapshot& worker = workers[pid];
    worker.pid = pid;
    worker.active = counted.active;
    worker.total = counted.total;
  }
  for (const ProcessSample& process : now.processes) {
    const auto worker = workers.find(process.pid);
    if (worker != workers.end()) {
      worker->second.cpu_percent = cpu_percent(process, before, now).own;
      worker->second.memory_bytes = process.memory_bytes;
      worker->second.threads = process.threads;
    }
  }
  std::vector<WorkerSnapshot> list;
  list.reserve(workers.size());
  for (const auto& [pid, worker] : workers) {
    list.push_back(worker);
  }
  return list;
}

// What listeners that are not apart have in flight, and in their queues. The kernel side knows the number in flight on
// all of them together; it can count some too many or too few, depending on what turned out about a listener.
void add_requests(const Counters& counters, const SocketsSample& sockets, Snapshot& snapshot) {
  snapshot.listeners = list_listeners(counters, sockets);
  snapshot.undercount = counters.undercount;
  add_listener_sums(snapshot);
  for (const EndpointCounters& endpoint : snapshot.endpoints) {
    add_latencies(endpoint.recent, snapshot.recent);
  }
  auto active = static_cast<std::int64_t>(counters.active);
  std::uint64_t most = 0;  // the peak cannot be higher
  bool any_other = false;
  for (const ListenerCounters& listener : counters.listeners) {
    if (listener.apart) {
      continue;
    }
    if (speaks_other(listener)) {
      any_other = true;
      active -= static_cast<std::int64_t>(listener.active);
    } else {
      most += listener.peak;
    }
    if (listener.http) {
      active += static_cast<std::int64_t>(listener.unproven);
    }
  }
  snapshot.active = active > 0 ? static_cast<std::uint64_t>(active) : 0;
  // The kernel's words are read one after another, so `active` can be newer than `peak` and exceed it.
  snapshot.peak = std::max(any_other ? std::min(counters.peak, most) : counters.peak, snapshot.active);
}

// The connections that wait: on listeners that have shown something else than HTTP they wait for something else.
std::uint64_t queue_depth(const Counters& counters, const SocketsSample& sockets) {
  std::uint64_t depth = sockets.accept_queue + sockets.unread;
  for (const ListenerSample& sample : sockets.by_listener) {
    if (!is_for_requests(counters_of(sample, counters))) {
      depth -= std::min(depth, sample.accept_queue + sample.unread);
    }
  }
  return depth;
}

void add_host(const HostSample& now, const EarlierSample& before, Snapshot& snapshot) {
  snapshot.command = now.command;
  snapshot.program = now.program;
  snapshot.application = now.application;
  snapshot.title = now.title;
  for (const ProcessSample& process : now.processes) {
    const Cpu percent = cpu_percent(process, before, now);
    snapshot.cpu_percent += percent.own + percent.reaped;
    snapshot.cpu_seconds += at_least_zero(process.cpu_seconds) + at_least_zero(process.reaped_cpu_seconds);
    snapshot.memory_bytes += process.memory_bytes;
    snapshot.threads += process.threads;
  }
  if (!now.processes.empty()) {
    const ProcessSample& root = now.processes.front();
    snapshot.pid = root.pid;
    snapshot.uptime_seconds = at_least_zero(now.at_seconds - root.start_seconds);
  }
}

}  // namespace

Snapshot make_snapshot(const Counters& counters, const SocketsSample& sockets, const HostSample& now,
                       const std::optional<HostSample>& before, const ListenerHints& hints) {
  const EarlierSample earlier(before, now);
  Snapshot snapshot;
  add_requests(counters, sockets, snapshot);
  snapshot.queue_depth = queue_depth(counters, sockets);
  snapshot.open_connections = sockets.open_connections;
  // Events can miss a connection that has sent nothing yet; the list of sockets contains it.
  snapshot.peak_connections = std::max(counters.peak_connections, sockets.open_connections);
  snapshot.listen = sockets.listen;
  snapshot.address = main_address(sockets.by_listener, counters.listeners, hints, counters.main_listener);
  snapshot.observed_seconds = at_least_zero(counters.observed_seconds);
  snapshot.profile = counters.profile;
  add_host(now, earlier, snapshot);
  if (!now.processes.empty()) {
    snapshot.not_seen_seconds = at_least_zero(counters.since_seconds - now.processes.front().start_seconds);
  }
  snapshot.workers = list_workers(counters, sockets, now, earlier);
  return snapshot;
}

}  // namespace monitor
