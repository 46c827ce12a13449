// SPDX-License-Identifier: Apache-2.0
// Reading processes, their resources, their tree and their listening sockets from a fake /proc.
#include <doctest/doctest.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdio>
#include <ctime>
#include <string>
#include <vector>

#include "host/mounts.h"
#include "host/pid_namespace.h"
#include "host/procfs.h"
#include "unit/fake_proc.h"

namespace monitor::testing {
namespace {

double ticks(int number) {
  return static_cast<double>(number) / static_cast<double>(::sysconf(_SC_CLK_TCK));
}

}  // namespace

TEST_CASE("host.process: fields and units") {
  const FakeProc fake({{.pid = 42, .parent = 7, .start = 5000}});
  const auto process = fake.proc().process(42);
  REQUIRE(process);
  CHECK(process->pid == 42);
  CHECK(process->parent == 7);
  CHECK(process->start_seconds == doctest::Approx(ticks(5000)));
  CHECK(process->cpu_seconds == doctest::Approx(ticks(300)));  // user 250 + system 50
  CHECK(process->reaped_cpu_seconds == doctest::Approx(ticks(40)));
  CHECK(process->memory_bytes == 300 * static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE)));
  CHECK(process->threads == 3);
  CHECK(fake.proc().executable(42) == "/usr/bin/python3.11");
  CHECK(fake.proc().executable(43).empty());
}

TEST_CASE("host.process: a process name that imitates the fields after it") {
  for (const char* comm : {"a b", "a) S 1 (b", ")", "", "((", "x) Z 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9 9"}) {
    CAPTURE(comm);
    const FakeProc fake({{.pid = 42, .parent = 7, .comm = comm}});
    const auto process = fake.proc().process(42);
    REQUIRE(process);
    CHECK(process->parent == 7);
    CHECK(process->threads == 3);
  }
}

TEST_CASE("host.process: missing, ended and malformed") {
  const FakeProc fake({{.pid = 42, .state = "Z"}, {.pid = 43, .state = "X"}},
                      {directory("44", {}), directory("45", {file("stat", "45 (x) S 1 1")}),
                       directory("46", {file("stat", "")}), directory("47", {file("stat", "no such format")})});
  for (const pid_t pid : {-1, 0, 1, 42, 43, 44}) {
    CAPTURE(pid);
    const auto process = fake.proc().process(pid);
    REQUIRE_FALSE(process);
    CHECK(process.error().code == ErrorCode::kNoTarget);
    CHECK(contains(process.error().what, "no process " + std::to_string(pid)));
  }
  CHECK(contains(fake.proc().process(42).error().what, "zombie"));
  for (const pid_t pid : {45, 46, 47}) {
    CAPTURE(pid);
    const auto process = fake.proc().process(pid);
    REQUIRE_FALSE(process);
    CHECK(contains(process.error().what, fake / std::to_string(pid)));
  }
}

TEST_CASE("host.tree: sorted descendants, without zombies, unrelated processes and processes that vanish") {
  const FakeProc fake(
      {{.pid = 50, .parent = 1},
       {.pid = 9, .parent = 50},  // a pid can be lower than its parent's
       {.pid = 60, .parent = 50},
       {.pid = 61, .parent = 60},
       {.pid = 62, .parent = 50, .state = "Z"},
       {.pid = 70, .parent = 1}},
      {directory("63", {}), directory("64", {file("stat", "64 (x) S 50 1")}),
       directory("65", {file("stat", "66 (other) S 50 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5 1 1 1\n")})});
  CHECK(fake.proc().pids() == std::vector<pid_t>{9, 50, 60, 61, 62, 63, 64, 65, 70});
  CHECK(fake.proc().tree(50) == std::vector<pid_t>{50, 9, 60, 61});
  CHECK(fake.proc().tree(61) == std::vector<pid_t>{61});
  CHECK(fake.proc().tree(62).empty());
  CHECK(fake.proc().tree(12345).empty());
  CHECK(ProcFs("/nonexistent").pids().empty());
}

TEST_CASE("host.tree: a zombie's CPU time counts in its parent's reaped time") {
  const FakeProc fake({{.pid = 50}, {.pid = 51, .parent = 50, .state = "Z"}, {.pid = 52, .parent = 50}});
  const auto samples = fake.proc().tree_samples(50);
  REQUIRE(samples.size() == 2);
  CHECK(samples[0].cpu_seconds == doctest::Approx(ticks(300)));
  CHECK(samples[0].reaped_cpu_seconds == doctest::Approx(ticks(40 + 340)));
  CHECK(samples[1].reaped_cpu_seconds == doctest::Approx(ticks(40)));
}

TEST_CASE("host.tree: a cycle of parents terminates") {
  const ProcessParents parents{{2, 3}, {3, 4}, {4, 2}, {5, 5}, {6, 4}};
  CHECK(process_tree(parents, 2) == std::vector<pid_t>{2, 3, 4, 6});
  CHECK(process_tree(parents, 5) == std::vector<pid_t>{5});
  CHECK(ancestors(parents, 6) == std::vector<pid_t>{4, 2, 3});
}

TEST_CASE("host.command: arguments, titles padded with NUL bytes, kernel names") {
  const FakeProc fake({{.pid = 10, .arguments = {"python3", "", "a b", "x\ny"}},
                       {.pid = 11, .arguments = {"gunicorn: master [app]", "", "", ""}},
                       {.pid = 12, .arguments = {}, .comm = "kworker/0:1"},
                       {.pid = 13, .arguments = {std::string(1 << 20, 'a')}}});
  CHECK(fake.proc().arguments(10) == Strings{"python3", "", "a b", "x\ny"});
  CHECK(fake.proc().command(10) == "python3  a b x\ny");
  CHECK(fake.proc().arguments(11) == Strings{"gunicorn: master [app]"});
  CHECK(fake.proc().command(12) == "kworker/0:1");
  CHECK(fake.proc().command(13).size() == 32768);
  CHECK(fake.proc().command(14).empty());
}

TEST_CASE("host.listening: addresses, states and sockets of other processes") {
  const FakeProc fake(
      {{.pid = 10,
        .sockets = {101, 102, 103, 104, 105, 106, 107, 108, 109},
        .tcp = tcp_line("0100007F:270F", 101) + tcp_line("0100007F:0050", 102, "01") + tcp_line("00000000:0051", 999) +
               "garbage\n\n  1: zz:zz 0:0 0A\n" + tcp_line("0100007F:FFFFFFFFFF", 109),
        .tcp6 = tcp_line("00000000000000000000000000000000:0050", 103) +
                tcp_line("00000000000000000000000001000000:0050", 104) +
                tcp_line("B80D0120000000000000000001000000:1F90", 104),
        .unix_sockets =
            unix_line("00010000", "0001", 105, "/run/my app.sock") + unix_line("00010000", "0001", 106, "@hidden") +
            unix_line("00000000", "0001", 107, "/run/connected") + unix_line("00010000", "0005", 108, "/run/seq")}});
  CHECK(fake.proc().listening({10}) == Strings{"127.0.0.1:9999", "[2001:db8::1]:8080", "[::1]:80", "[::]:80",
                                               "unix:/run/my app.sock", "unix:@hidden"});
  CHECK(fake.proc().listening({}).empty());
  CHECK(fake.proc().listening({77}).empty());
}

TEST_CASE("host.listening: each network namespace by its own tables, a shared one once") {
  // The tables of 12's namespace list 10's inode, which must not count. 11 has no readable tables.
  const FakeProc fake(
      {{.pid = 10, .sockets = {1}, .tcp = tcp_line(kAnyPort, 1) + tcp_line("00000000:0002", 2), .network = "net:[1]"},
       {.pid = 12, .sockets = {2}, .tcp = tcp_line("00000000:0001", 1), .network = "net:[2]"},
       {.pid = 13, .sockets = {3}, .tcp = tcp_line("00000000:0003", 3), .network = "net:[3]"}},
      {directory("11", {directory("fd", {link("3", "socket:[3]")}), directory("ns", {link("net", "net:[3]")})}),
       directory("14", {directory("fd", {link("3", "socket:[4]")}),
                        directory("net", {file("tcp", tcp_line("00000000:0004", 4))})}),
       directory("15", {directory("fd", {link("3", "socket:[5]")}),
                        directory("net", {file("tcp", tcp_line("00000000:0005", 5))})})});
  CHECK(fake.proc().listening({10, 12}) == Strings{"0.0.0.0:9999"});
  CHECK(fake.proc().listening({11, 13}) == Strings{"0.0.0.0:3"});
  CHECK(fake.proc().listening({14, 15}) == Strings{"0.0.0.0:4", "0.0.0.0:5"});  // no ns/net to read
}

TEST_CASE("host.listening: a table and a line longer than the buffer") {
  constexpr int kSockets = 1500;
  Process process{.pid = 10};
  for (int i = 0; i < kSockets; ++i) {
    std::array<char, 16> local{};
    std::snprintf(local.data(), local.size(), "%08X:%04X", 0, i);
    process.sockets.push_back(i + 1);
    process.tcp += tcp_line(local.data(), i + 1);
  }
  process.tcp6 = std::string(200000, 'x');
  const FakeProc fake(std::vector<Process>{process});
  const Strings found = fake.proc().listening({10});
  CHECK(found.size() == kSockets);  // each port once: no line was split at the end of the buffer
  CHECK(std::count(found.begin(), found.end(), "0.0.0.0:" + std::to_string(kSockets - 1)) == 1);
}

TEST_CASE("host.mounts: a file system that the machine's first process has mounted too") {
  struct stat status {};
  REQUIRE(::stat("/tmp", &status) == 0);
  const std::string device = std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
  const auto first = [](const std::string& mounts) {
    return FakeProc({}, {directory("1", {file("mountinfo", mounts)})});
  };
  CHECK(check_host_sees(first("22 27 0:9999 / /proc rw - proc proc rw\n23 22 " + device + " / /t rw - x x rw\n").proc(),
                        "/tmp"));
  const auto hidden = check_host_sees(first("22 27 0:9999 / /proc rw - proc proc rw\n").proc(), "/tmp");
  REQUIRE_FALSE(hidden);
  CHECK(hidden.error().code == ErrorCode::kUnsupported);
  CHECK(contains(hidden.error().what, "container"));
  CHECK(contains(hidden.error().what, "/tmp"));
  CHECK(check_host_sees(FakeProc(std::vector<Process>{}).proc(), "/tmp"));  // unknown
  CHECK(check_host_sees(first("").proc(), "/no/such/file"));
}

TEST_CASE("host.sample_host: a zombie of an earlier sample counts in its parent's reaped time") {
  const FakeProc fake({{.pid = 50},
                       {.pid = 51, .parent = 50, .state = "Z"},
                       {.pid = 52, .parent = 50, .state = "Z"},
                       {.pid = 53, .parent = 1, .state = "Z"},
                       {.pid = 54, .parent = 50}});
  HostSample earlier;
  for (const pid_t pid : {50, 51, 53, 54, 55}) {
    earlier.processes.emplace_back().pid = pid;
  }
  earlier.zombies = {52};
  // 53 has another parent, 54 is no member, 55 is gone.
  const auto sample = sample_host(fake.proc(), 50, std::nullopt, {50}, earlier);
  REQUIRE(sample);
  REQUIRE(sample->processes.size() == 1);
  CHECK(sample->processes[0].reaped_cpu_seconds == doctest::Approx(ticks(40 + 340 + 340)));
  CHECK(sample->zombies == std::vector<pid_t>{52, 51});
  const auto without = sample_host(fake.proc(), 50, std::nullopt, {50});
  REQUIRE(without);
  CHECK(without->processes[0].reaped_cpu_seconds == doctest::Approx(ticks(40)));
}

TEST_CASE("host.sample_host: the tree, the clock and a reused pid") {
  const FakeProc fake(
      {{.pid = 50, .arguments = {"uvicorn", "app:app"}, .start = 5000},
       {.pid = 51, .parent = 50},
       {.pid = 53, .parent = 52}},
      {directory("52", {file("stat", "52 (half) S 50 1 1 0 -1 0 0 0 0 0 1 1 0 0 20 0 1 0 5 1 1 1\n")})});
  timespec now{};
  REQUIRE(::clock_gettime(CLOCK_BOOTTIME, &now) == 0);
  const auto sample = sample_host(fake.proc(), 50, ticks(5000));
  REQUIRE(sample);
  CHECK(sample->command == "uvicorn app:app");
  CHECK(sample->at_seconds >= static_cast<double>(now.tv_sec));
  REQUIRE(sample->processes.size() == 3);  // 52 has no statm: it is ending
  CHECK(sample->processes[0].pid == 50);
  CHECK(sample->processes[0].memory_bytes > 0);
  CHECK(sample->processes[1].pid == 51);
  CHECK(sample->processes[2].pid == 53);
  CHECK(sample_host(fake.proc(), 50, std::nullopt));

  // 53 is a child of 52, which is ending. A tree whose root is gone is gone.
  CHECK(fake.proc().tree(52) == std::vector<pid_t>{52, 53});
  CHECK(fake.proc().tree_samples(52).empty());

  const auto reused = sample_host(fake.proc(), 50, ticks(4999));
  REQUIRE_FALSE(reused);
  CHECK(reused.error().code == ErrorCode::kNoTarget);
  CHECK(contains(reused.error().what, "pid 50 now belongs to another process"));
  CHECK_FALSE(sample_host(fake.proc(), 52, std::nullopt));
  const auto gone = sample_host(fake.proc(), 99, ticks(5000));
  REQUIRE_FALSE(gone);
  CHECK(gone.error().code == ErrorCode::kNoTarget);
  CHECK(gone.error().what == "no process 99");
}

TEST_CASE("host.pid_namespace: the host's, a child, not the one of /proc, a kernel without pid namespaces") {
  const auto check = [](std::vector<Entry> entries) {
    const FakeProc fake({}, std::move(entries));
    return check_pid_namespace(fake.proc());
  };
  CHECK(check({directory("self", {directory("ns", {link("pid", "pid:[4026531836]")})})}));
  CHECK(check({directory("self", {directory("ns", {link("net", "net:[4026531833]")})})}));
  const Status child = check({directory("self", {directory("ns", {link("pid", "pid:[4026532200]")})})});
  REQUIRE_FALSE(child);
  CHECK(child.error().code == ErrorCode::kUnsupported);
  CHECK(contains(child.error().what, "pid namespace"));
  CHECK(contains(child.error().hint, "--pid=host"));
  const Status elsewhere = check({link("self", "4711")});
  REQUIRE_FALSE(elsewhere);
  CHECK(elsewhere.error().code == ErrorCode::kUnsupported);
  CHECK(contains(elsewhere.error().what, "does not show this process"));
}

}  // namespace monitor::testing
