// SPDX-License-Identifier: Apache-2.0
// make_snapshot: the sums, CPU over a window, the list of workers, and inputs that contradict each other because the
// server's processes came and went between two samples.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "model/listed_server.h"
#include "model/snapshot.h"

namespace monitor {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

ProcessSample process(pid_t pid, pid_t parent, double start_seconds, double cpu_seconds) {
  ProcessSample sample;
  sample.pid = pid;
  sample.parent = parent;
  sample.start_seconds = start_seconds;
  sample.cpu_seconds = cpu_seconds;
  sample.memory_bytes = 1000;
  sample.threads = 2;
  return sample;
}

HostSample host(double at_seconds, std::vector<ProcessSample> processes) {
  HostSample sample;
  sample.at_seconds = at_seconds;
  sample.command = "uvicorn app:app";
  sample.processes = std::move(processes);
  return sample;
}

SocketsSample listeners(std::vector<pid_t> pids) {
  SocketsSample sockets;
  sockets.by_listener.emplace_back().holders = std::move(pids);
  return sockets;
}

std::vector<pid_t> worker_pids(const Snapshot& snapshot) {
  std::vector<pid_t> pids;
  for (const WorkerSnapshot& worker : snapshot.workers) {
    pids.push_back(worker.pid);
  }
  return pids;
}

// CPU of one process, started at 10 s, that had used 1 s at 100 s and `cpu_seconds` at `at_seconds`.
double cpu_of(double at_seconds, double cpu_seconds) {
  const HostSample before = host(100, {process(1, 0, 10, 1)});
  return make_snapshot({}, {}, host(at_seconds, {process(1, 0, 10, cpu_seconds)}), before).cpu_percent;
}

TEST_CASE("model.a_queue_that_servers_share_counts_once") {
  const auto sample = [](std::map<std::uint64_t, std::uint64_t> queues) {
    SocketsSample sockets;
    ListenerSample& listener = sockets.by_listener.emplace_back();
    for (const auto& [socket, waiting] : queues) {
      listener.accept_queue += waiting;
    }
    listener.queues = std::move(queues);
    sockets.accept_queue = listener.accept_queue;
    return sockets;
  };
  std::set<std::uint64_t> counted;
  SocketsSample first = sample({{1, 5}, {2, 3}});
  SocketsSample second = sample({{2, 3}, {3, 4}});  // one socket is the first one's, too
  count_queues_once(first, counted);
  count_queues_once(second, counted);
  CHECK(first.accept_queue == 8);
  CHECK(second.accept_queue == 4);
  CHECK(second.by_listener.front().accept_queue == 4);
}

TEST_CASE("model.listed.which_listeners_got_http") {
  const std::vector<std::string> listen = {"a:1", "a:2", "a:3", "a:4", "a:5", "a:6"};
  SocketsSample sockets;
  for (unsigned number = 0; number < 5; ++number) {
    ListenerSample& listener = sockets.by_listener.emplace_back();
    listener.address = "a:" + std::to_string(number + 1);
    listener.number = number;  // a:1 is not known to the kernel side yet
  }
  Counters counters;
  for (unsigned number = 1; number < 5; ++number) {
    counters.listeners.emplace_back().number = number;
  }
  counters.listeners[0].http = true;
  counters.listeners[1].foreign = true;
  counters.listeners[1].first_bytes = "+OK";
  EndpointCounters slow;  // its first request has no response yet
  slow.listener = 3;
  slow.method = "GET";
  slow.active = 1;
  EndpointCounters before;
  before.listener = 4;
  before.path = "(before attach)";
  before.active = 1;
  counters.endpoints = {slow, before};
  const std::vector<ListedListener> list = counted_listeners(listen, counters, sockets);
  REQUIRE(list.size() == listen.size());
  CHECK(list[0].http == false);
  CHECK(list[1].http == true);
  CHECK(list[1].protocol == "http");
  CHECK(list[2].http == false);
  CHECK(list[2].protocol == "redis");
  CHECK(list[3].http == true);
  CHECK(list[3].protocol == "http");
  CHECK(list[4].http == false);         // it may be a request, and may be not
  CHECK(list[5].http == std::nullopt);  // the engine does not know this socket
  CHECK(unknown_listeners(listen)[1].http == std::nullopt);
}

TEST_CASE("model.total_failed_and_aborted_are_summed_over_endpoints") {
  Counters counters;
  for (const char* path : {"/b", "/a", "/c"}) {
    EndpointCounters endpoint;
    endpoint.method = "GET";
    endpoint.path = path;
    endpoint.completed = 10;
    endpoint.failed = 3;
    endpoint.aborted = 2;
    endpoint.websockets = 4;
    counters.endpoints.push_back(endpoint);
  }
  counters.endpoints[2].method = "DELETE";
  counters.active = 4;
  counters.peak = 9;
  ListenerCounters& listener = counters.listeners.emplace_back();
  listener.refused = 5;
  listener.rejected = 6;
  counters.undercount = {{"gap", 1}};
  counters.observed_seconds = 12.5;
  counters.profile = "socket";
  const Snapshot snapshot = make_snapshot(counters, {}, {}, {});
  CHECK(snapshot.total == 30);
  CHECK(snapshot.failed == 9);
  CHECK(snapshot.aborted == 6);
  CHECK(snapshot.websockets == 12);
  CHECK(snapshot.active == 4);
  CHECK(snapshot.peak == 9);
  CHECK(snapshot.refused == 5);
  CHECK(snapshot.rejected == 6);
  CHECK(snapshot.undercount == counters.undercount);
  CHECK(snapshot.observed_seconds == 12.5);
  CHECK(snapshot.profile == "socket");
  REQUIRE(snapshot.endpoints.size() == 3);
  CHECK(snapshot.endpoints[0].path == "/c");  // by method, then path
  CHECK(snapshot.endpoints[1].path == "/a");
  CHECK(snapshot.endpoints[2].path == "/b");
}

TEST_CASE("model.durations_are_sorted_by_status") {
  EndpointCounters endpoint;
  endpoint.durations.resize(4);
  endpoint.durations[0].other = true;
  endpoint.durations[1].status = 404;
  endpoint.durations[2].status = 200;
  endpoint.durations[2].buckets = {7};
  endpoint.completed = 7;
  Counters counters;
  counters.endpoints = {endpoint};
  counters.listeners.emplace_back();
  const std::vector<Durations> sorted = make_snapshot(counters, {}, {}, {}).endpoints.at(0).durations;
  REQUIRE(sorted.size() == 4);
  CHECK((!sorted[0].status && !sorted[0].other));
  CHECK(sorted[1].status == 200);
  CHECK(sorted[1].buckets.front() == 7);
  CHECK(sorted[2].status == 404);
  CHECK(sorted[3].other);
}

TEST_CASE("model.cpu_seconds_include_ended_children") {
  HostSample now;
  now.processes.resize(2);
  now.processes[0].cpu_seconds = 1;
  now.processes[0].reaped_cpu_seconds = 20;
  now.processes[1].cpu_seconds = 300;
  now.processes[1].reaped_cpu_seconds = -1;  // /proc never shows this
  CHECK(make_snapshot({}, {}, now, {}).cpu_seconds == 321);
}

TEST_CASE("model.peak_is_never_less_than_active") {
  Counters counters;
  counters.active = 5;
  counters.peak = 4;
  CHECK(make_snapshot(counters, {}, {}, {}).peak == 5);
}

TEST_CASE("model.queue_depth_is_accept_queue_and_unread") {
  SocketsSample sockets;
  sockets.accept_queue = 7;
  sockets.unread = 2;
  CHECK(make_snapshot({}, sockets, {}, {}).queue_depth == 9);
}

TEST_CASE("model.peak_connections_is_never_less_than_open") {
  Counters counters;
  SocketsSample sockets;
  counters.peak_connections = 3;
  sockets.open_connections = 8;
  CHECK(make_snapshot(counters, sockets, {}, {}).open_connections == 8);
  CHECK(make_snapshot(counters, sockets, {}, {}).peak_connections == 8);
  counters.peak_connections = 20;
  CHECK(make_snapshot(counters, sockets, {}, {}).peak_connections == 20);
}

TEST_CASE("model.host_is_summed_over_the_tree_and_named_after_its_root") {
  SocketsSample sockets;
  sockets.listen = {"127.0.0.1:9999"};
  const Snapshot snapshot =
      make_snapshot({}, sockets, host(100, {process(7, 1, 40, 0), process(8, 7, 90, 0), process(9, 8, 95, 0)}), {});
  CHECK(snapshot.pid == 7);
  CHECK(snapshot.command == "uvicorn app:app");
  CHECK(snapshot.listen == sockets.listen);
  CHECK(snapshot.memory_bytes == 3000);
  CHECK(snapshot.threads == 6);
  CHECK(snapshot.uptime_seconds == 60);
}

TEST_CASE("model.cpu.is_measured_since_the_previous_sample") {
  CHECK(cpu_of(102, 2) == doctest::Approx(50));
  CHECK(cpu_of(102, 5) == doctest::Approx(200));
  CHECK(cpu_of(100.5, 1) == 0);
  const Snapshot two = make_snapshot({}, listeners({1, 2}), host(102, {process(1, 0, 10, 2), process(2, 1, 11, 9)}),
                                     host(100, {process(1, 0, 10, 1), process(2, 1, 11, 8)}));
  CHECK(two.cpu_percent == doctest::Approx(100));
  REQUIRE(two.workers.size() == 1);
  CHECK(two.workers[0].cpu_percent == doctest::Approx(50));
}

TEST_CASE("model.cpu.without_a_previous_sample_is_the_mean_over_the_whole_life") {
  const Snapshot snapshot = make_snapshot({}, {}, host(110, {process(1, 0, 10, 25)}), {});
  CHECK(snapshot.cpu_percent == doctest::Approx(25));
}

TEST_CASE("model.cpu.a_process_born_in_the_window_counts_whole") {
  const HostSample before = host(100, {process(1, 0, 10, 1)});
  const HostSample now = host(102, {process(1, 0, 10, 1), process(2, 1, 101.5, 0.4)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(20));
}

ProcessSample with_reaped(ProcessSample sample, double reaped_cpu_seconds) {
  sample.reaped_cpu_seconds = reaped_cpu_seconds;
  return sample;
}

TEST_CASE("model.cpu.children_that_ended_count_in_the_interval_in_which_they_were_reaped") {
  const HostSample before = host(100, {with_reaped(process(1, 0, 10, 1), 5)});
  // Children that no sample showed.
  CHECK(make_snapshot({}, {}, host(102, {with_reaped(process(1, 0, 10, 1), 6)}), before).cpu_percent ==
        doctest::Approx(50));
  // A worker's own figure is without them.
  const Snapshot snapshot =
      make_snapshot({}, listeners({1}), host(102, {with_reaped(process(1, 0, 10, 2), 6)}), before);
  CHECK(snapshot.cpu_percent == doctest::Approx(100));
  REQUIRE(snapshot.workers.size() == 1);
  CHECK(snapshot.workers[0].cpu_percent == doctest::Approx(50));
  // A process that was born and reaped children since then, and one that no sample preceded.
  const HostSample born = host(102, {with_reaped(process(1, 0, 10, 1), 5), with_reaped(process(2, 1, 101, 0.5), 0.5)});
  CHECK(make_snapshot({}, {}, born, before).cpu_percent == doctest::Approx(50));
  CHECK(make_snapshot({}, {}, host(110, {with_reaped(process(1, 0, 10, 20), 5)}), {}).cpu_percent ==
        doctest::Approx(25));
}

TEST_CASE("model.cpu.what_an_earlier_sample_showed_of_a_child_counts_once") {
  const HostSample before =
      host(100, {with_reaped(process(1, 0, 10, 1), 5), with_reaped(process(2, 1, 20, 3), 1), process(3, 2, 30, 2)});
  // 2 ended with 3.5 s, and with 1 s of earlier children; 3 ended with 2.5 s and was reaped by 2.
  const HostSample now = host(102, {with_reaped(process(1, 0, 10, 1), 5 + 3.5 + 1 + 2.5)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(50));
  // Not reaped yet, or never: nothing is subtracted from what the others used.
  const HostSample lost = host(102, {with_reaped(process(1, 0, 10, 2), 5)});
  CHECK(make_snapshot({}, {}, lost, before).cpu_percent == doctest::Approx(50));
  // Parents that form a circle.
  const HostSample circle = host(100, {process(1, 0, 10, 1), process(2, 3, 20, 3), process(3, 2, 30, 2)});
  CHECK(make_snapshot({}, {}, host(102, {process(1, 0, 10, 2)}), circle).cpu_percent == doctest::Approx(50));
}

TEST_CASE("model.cpu.a_process_that_joined_the_tree_counts_with_the_mean_of_its_life") {
  const HostSample before = host(100, {process(1, 0, 10, 1)});
  const HostSample now = host(102, {process(1, 0, 10, 1), process(2, 1, 62, 4)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(10));
}

TEST_CASE("model.cpu.a_reused_pid_does_not_inherit_from_its_predecessor") {
  const HostSample before = host(100, {process(1, 0, 10, 1), process(2, 1, 20, 5000)});
  const HostSample now = host(102, {process(1, 0, 10, 1), process(2, 1, 101, 1)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(50));
  const HostSample idle_before = host(100, {process(1, 0, 10, 1), process(2, 1, 20, 0)});
  const HostSample busy_elder = host(102, {process(1, 0, 10, 1), process(2, 1, 52, 5)});
  CHECK(make_snapshot({}, {}, busy_elder, idle_before).cpu_percent == doctest::Approx(10));
}

TEST_CASE("model.cpu.stays_finite_when_clocks_misbehave") {
  CHECK(cpu_of(100, 9) == doctest::Approx(10));  // equal times: over its life of 90 s
  CHECK(cpu_of(60, 5) == doctest::Approx(10));   // the clock went back: over its life of 50 s
  CHECK(cpu_of(102, 0.5) == 0);                  // less CPU than before
  CHECK(cpu_of(5, 0) == 0);                      // earlier than its own start
  for (const double at_seconds : {5.0, 10.0, kInfinity, -kInfinity, std::nan("")}) {
    for (const double cpu_seconds : {0.0, 3.0, kInfinity, -kInfinity, std::nan("")}) {
      CAPTURE(at_seconds);
      CAPTURE(cpu_seconds);
      const double percent = cpu_of(at_seconds, cpu_seconds);
      CHECK(std::isfinite(percent));
      CHECK(percent >= 0);
      CHECK_FALSE(std::signbit(percent));
    }
  }
}

TEST_CASE("model.cpu.a_process_younger_than_a_tick_is_not_exaggerated") {
  const Snapshot snapshot = make_snapshot({}, {}, host(100, {process(1, 0, 99.9999, 0.01)}), {});
  CHECK(snapshot.cpu_percent == doctest::Approx(100));
}

TEST_CASE("model.without_any_input_everything_is_zero") {
  const Snapshot snapshot = make_snapshot({}, {}, {}, {});
  CHECK(snapshot.pid == 0);
  CHECK(snapshot.total == 0);
  CHECK(snapshot.uptime_seconds == 0);
  CHECK(snapshot.cpu_percent == 0);
  CHECK(snapshot.workers.empty());
  CHECK(make_snapshot({}, {}, {}, host(100, {process(1, 0, 10, 1)})).cpu_percent == 0);
}

TEST_CASE("model.impossible_times_are_zero") {
  Counters counters;
  for (const double seconds : {-1.0, kInfinity, std::nan("")}) {
    counters.observed_seconds = seconds;
    const Snapshot snapshot = make_snapshot(counters, {}, host(100, {process(1, 0, 100 + seconds * -1, 0)}), {});
    CHECK(snapshot.observed_seconds == 0);
    CHECK(snapshot.uptime_seconds >= 0);
    CHECK(std::isfinite(snapshot.uptime_seconds));
  }
  CHECK(make_snapshot({}, {}, host(100, {process(1, 0, 101, 0)}), {}).uptime_seconds == 0);
}

TEST_CASE("model.workers.a_single_process_is_its_own_worker") {
  const Snapshot snapshot = make_snapshot({}, listeners({7}), host(100, {process(7, 1, 10, 9)}), {});
  REQUIRE(worker_pids(snapshot) == std::vector<pid_t>{7});
  CHECK(snapshot.workers[0].cpu_percent == doctest::Approx(10));
  CHECK(snapshot.workers[0].memory_bytes == 1000);
  CHECK(snapshot.workers[0].threads == 2);
}

TEST_CASE("model.workers.a_supervisor_whose_children_listen_is_not_a_worker") {
  const HostSample now =
      host(100, {process(7, 1, 10, 0), process(8, 7, 11, 0), process(9, 7, 11, 0), process(10, 7, 11, 0)});
  // 10 is a helper that holds no listener.
  CHECK(worker_pids(make_snapshot({}, listeners({7, 8, 9}), now, {})) == std::vector<pid_t>{8, 9});
}

TEST_CASE("model.workers.a_parent_whose_children_do_not_listen_is_a_worker") {
  const HostSample now = host(100, {process(7, 1, 10, 0), process(8, 7, 11, 0)});
  CHECK(worker_pids(make_snapshot({}, listeners({7}), now, {})) == std::vector<pid_t>{7});
}

TEST_CASE("model.workers.a_process_that_read_a_request_is_a_worker") {
  Counters counters;
  counters.workers[7] = {0, 0};  // the supervisor
  counters.workers[8] = {1, 0};
  counters.workers[9] = {0, 5};
  counters.workers[10] = {0, 0};  // a helper
  const HostSample now =
      host(100, {process(7, 1, 10, 0), process(8, 7, 11, 0), process(9, 7, 11, 0), process(10, 7, 11, 0)});
  const Snapshot snapshot = make_snapshot(counters, listeners({7, 8}), now, {});
  REQUIRE(worker_pids(snapshot) == std::vector<pid_t>{8, 9});
  CHECK(snapshot.workers[0].active == 1);
  CHECK(snapshot.workers[0].total == 0);
  CHECK(snapshot.workers[1].total == 5);
  CHECK(snapshot.workers[1].memory_bytes == 1000);

  // A supervisor that served before it had workers keeps its place.
  counters.workers[7] = {0, 3};
  CHECK(worker_pids(make_snapshot(counters, listeners({7, 8}), now, {})) == std::vector<pid_t>{7, 8, 9});
}

TEST_CASE("model.workers.an_exited_worker_is_listed_without_resources") {
  Counters counters;
  counters.workers[8] = {0, 5};
  const Snapshot snapshot = make_snapshot(counters, listeners({7, 8}), host(100, {process(7, 1, 10, 0)}), {});
  REQUIRE(worker_pids(snapshot) == std::vector<pid_t>{7, 8});
  CHECK(snapshot.workers[1].total == 5);
  CHECK(snapshot.workers[1].threads == 0);
  CHECK(snapshot.workers[1].memory_bytes == 0);
  CHECK(snapshot.workers[1].cpu_percent == 0);
}

}  // namespace
}  // namespace monitor
