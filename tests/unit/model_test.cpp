// SPDX-License-Identifier: Apache-2.0
// make_snapshot: the sums, CPU over a window, the list of workers, and inputs that do not fit together, as they come
// when a server's processes come and go between two looks.
#include <doctest/doctest.h>

#include <cmath>
#include <limits>

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
  SocketsSample look;
  look.listeners = std::move(pids);
  return look;
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

TEST_CASE("model.total_failed_and_aborted_are_sums_over_endpoints") {
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
  counters.refused = 5;
  counters.rejected = 6;
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

TEST_CASE("model.cpu_seconds_are_those_of_ended_children_too") {
  HostSample now;
  now.processes.resize(2);
  now.processes[0].cpu_seconds = 1;
  now.processes[0].reaped_cpu_seconds = 20;
  now.processes[1].cpu_seconds = 300;
  now.processes[1].reaped_cpu_seconds = -1;  // nothing that /proc says
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

TEST_CASE("model.host_is_summed_over_the_tree_and_named_by_its_root") {
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

TEST_CASE("model.cpu.over_the_window_since_the_sample_before") {
  CHECK(cpu_of(102, 2) == doctest::Approx(50));
  CHECK(cpu_of(102, 5) == doctest::Approx(200));
  CHECK(cpu_of(100.5, 1) == 0);
  const Snapshot two = make_snapshot({}, listeners({1, 2}), host(102, {process(1, 0, 10, 2), process(2, 1, 11, 9)}),
                                     host(100, {process(1, 0, 10, 1), process(2, 1, 11, 8)}));
  CHECK(two.cpu_percent == doctest::Approx(100));
  REQUIRE(two.workers.size() == 1);
  CHECK(two.workers[0].cpu_percent == doctest::Approx(50));
}

TEST_CASE("model.cpu.over_the_whole_life_without_a_sample_before") {
  const Snapshot snapshot = make_snapshot({}, {}, host(110, {process(1, 0, 10, 25)}), {});
  CHECK(snapshot.cpu_percent == doctest::Approx(25));
}

TEST_CASE("model.cpu.of_a_process_born_in_the_window_falls_into_it") {
  const HostSample before = host(100, {process(1, 0, 10, 1)});
  const HostSample now = host(102, {process(1, 0, 10, 1), process(2, 1, 101.5, 0.4)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(20));
}

TEST_CASE("model.cpu.of_a_process_that_joined_the_tree_is_the_mean_of_its_life") {
  const HostSample before = host(100, {process(1, 0, 10, 1)});
  const HostSample now = host(102, {process(1, 0, 10, 1), process(2, 1, 62, 4)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(10));
}

TEST_CASE("model.cpu.of_a_reused_pid_is_not_charged_to_its_predecessor") {
  const HostSample before = host(100, {process(1, 0, 10, 1), process(2, 1, 20, 5000)});
  const HostSample now = host(102, {process(1, 0, 10, 1), process(2, 1, 101, 1)});
  CHECK(make_snapshot({}, {}, now, before).cpu_percent == doctest::Approx(50));
  const HostSample idle_before = host(100, {process(1, 0, 10, 1), process(2, 1, 20, 0)});
  const HostSample busy_elder = host(102, {process(1, 0, 10, 1), process(2, 1, 52, 5)});
  CHECK(make_snapshot({}, {}, busy_elder, idle_before).cpu_percent == doctest::Approx(10));
}

TEST_CASE("model.cpu.odd_clocks_give_finite_figures") {
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

TEST_CASE("model.cpu.a_process_younger_than_a_tick_is_not_blown_up") {
  const Snapshot snapshot = make_snapshot({}, {}, host(100, {process(1, 0, 99.9999, 0.01)}), {});
  CHECK(snapshot.cpu_percent == doctest::Approx(100));
}

TEST_CASE("model.nothing_known_is_all_zero") {
  const Snapshot snapshot = make_snapshot({}, {}, {}, {});
  CHECK(snapshot.pid == 0);
  CHECK(snapshot.total == 0);
  CHECK(snapshot.uptime_seconds == 0);
  CHECK(snapshot.cpu_percent == 0);
  CHECK(snapshot.workers.empty());
  CHECK(make_snapshot({}, {}, {}, host(100, {process(1, 0, 10, 1)})).cpu_percent == 0);
}

TEST_CASE("model.odd_times_are_0") {
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

TEST_CASE("model.workers.a_supervisor_whose_children_listen_is_none") {
  const HostSample now =
      host(100, {process(7, 1, 10, 0), process(8, 7, 11, 0), process(9, 7, 11, 0), process(10, 7, 11, 0)});
  // 10 is a helper that holds no listener.
  CHECK(worker_pids(make_snapshot({}, listeners({7, 8, 9}), now, {})) == std::vector<pid_t>{8, 9});
}

TEST_CASE("model.workers.one_whose_children_do_not_listen_is_one") {
  const HostSample now = host(100, {process(7, 1, 10, 0), process(8, 7, 11, 0)});
  CHECK(worker_pids(make_snapshot({}, listeners({7}), now, {})) == std::vector<pid_t>{7});
}

TEST_CASE("model.workers.whoever_read_a_request_is_one") {
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

TEST_CASE("model.workers.one_that_has_exited_is_listed_without_resources") {
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
