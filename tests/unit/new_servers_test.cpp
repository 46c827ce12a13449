// SPDX-License-Identifier: Apache-2.0
// When a search for new servers is worth its time.
#include "observe/new_servers.h"

#include <doctest/doctest.h>

#include <chrono>
#include <vector>

#include "fake_proc.h"

namespace monitor {
namespace {

using namespace std::chrono_literals;
using testing::FakeProc;
using testing::Process;

Process python(pid_t pid) {
  Process made;
  made.pid = pid;
  made.arguments = {"python3", "main.py"};
  return made;
}

Process shell(pid_t pid) {
  Process made;
  made.pid = pid;
  made.arguments = {"bash"};
  made.executable = "/usr/bin/bash";
  return made;
}

class Machine {
 public:
  // Whether a search is worth it `seconds` after the begin, with these processes, of which some listen.
  bool at(int seconds, const std::vector<Process>& processes, const std::vector<pid_t>& listen = {},
          const std::vector<pid_t>& followed = {}) {
    asked_.clear();
    return servers_.may_have_started(FakeProc(processes).proc(), begin_ + std::chrono::seconds(seconds), followed,
                                     [&](pid_t pid) {
                                       asked_.push_back(pid);
                                       return std::find(listen.begin(), listen.end(), pid) != listen.end();
                                     });
  }
  bool listens(int seconds, const std::vector<Process>& processes, pid_t pid) {
    return servers_.note(FakeProc(processes).proc(), {Listen{pid, 7'000}}, begin_ + std::chrono::seconds(seconds));
  }
  NewServers::Clock::time_point begin() const { return begin_; }
  const std::vector<pid_t>& asked() const { return asked_; }
  const NewServers& servers() const { return servers_; }

 private:
  NewServers servers_;
  NewServers::Clock::time_point begin_ = NewServers::Clock::now();
  std::vector<pid_t> asked_;
};

TEST_CASE("new_servers.a_young_python_that_listens_is_a_reason") {
  Machine machine;
  CHECK_FALSE(machine.at(0, {python(10)}, {10}));  // it was there at the first call, as the search was
  CHECK_FALSE(machine.at(1, {python(10), python(20)}, {10}));
  CHECK(machine.asked() == std::vector<pid_t>{20});
  CHECK(machine.at(2, {python(10), python(20)}, {10, 20}));
  CHECK_FALSE(machine.at(3, {python(10), python(20)}, {10, 20}, {20}));  // it is observed now
}

TEST_CASE("new_servers.when_a_process_did_not_listen_yet") {
  Machine machine;
  const auto seconds = [&machine](const std::vector<pid_t>& pids) -> std::optional<double> {
    const auto until = machine.servers().quiet_until(pids);
    return until ? std::optional(std::chrono::duration<double>(*until - machine.begin()).count()) : std::nullopt;
  };
  CHECK_FALSE(machine.at(0, {python(10)}));
  CHECK(machine.at(1, {python(10), python(20)}, {20}));
  CHECK(seconds({20}) == 0.0);  // it has started since the first call
  CHECK_FALSE(machine.at(2, {python(10), python(20), python(30)}));
  CHECK_FALSE(machine.at(3, {python(10), python(20), python(30)}));
  CHECK(seconds({30}) == 3.0);
  CHECK(seconds({20, 30}) == 3.0);
  CHECK_FALSE(seconds({10}));  // older
  CHECK_FALSE(seconds({}));
}

TEST_CASE("new_servers.processes_that_do_not_listen_are_none") {
  Machine machine;
  CHECK_FALSE(machine.at(0, {}));
  for (int second = 1; second < 100; ++second) {  // a test suite, or a job that forks a Python again and again
    CHECK_FALSE(machine.at(second, {python(100 + second), python(101 + second), shell(50)}));
  }
}

TEST_CASE("new_servers.a_process_is_asked_less_as_it_ages") {
  Machine machine;
  CHECK_FALSE(machine.at(0, {}));
  int asked = 0;
  for (int second = 1; second < 100; ++second) {
    CHECK_FALSE(machine.at(second, {python(20)}));
    asked += static_cast<int>(machine.asked().size());
  }
  CHECK(asked == 60);  // after a minute its events are left
}

TEST_CASE("new_servers.calls_in_quick_succession_read_nothing") {
  Machine machine;
  CHECK_FALSE(machine.at(0, {}));
  CHECK(machine.at(1, {python(20)}, {20}));
  CHECK_FALSE(machine.at(1, {python(20)}, {20}));
  CHECK(machine.asked().empty());
}

TEST_CASE("new_servers.an_event_is_a_reason_until_the_server_is_recognized") {
  Machine machine;
  const std::vector<Process> processes = {python(10), shell(11)};
  CHECK_FALSE(machine.at(0, processes));
  CHECK_FALSE(machine.listens(1, processes, 11));
  CHECK(machine.listens(1, processes, 10));
  CHECK(machine.servers().listening_since({11, 10}) == 7'000);
  const auto event = machine.begin() + 1s;
  CHECK(machine.servers().may_be_early(event + 100ms, {9, 11}));
  CHECK_FALSE(machine.servers().may_be_early(event + 100ms, {9, 10}));
  CHECK_FALSE(machine.servers().may_be_early(event + 1s, {}));
  CHECK_FALSE(machine.servers().listening_since({11}));
  CHECK(machine.at(2, processes));
  CHECK_FALSE(machine.at(3, processes, {}, {10}));
  CHECK(machine.at(9, processes));
  CHECK_FALSE(machine.at(12, processes));
  CHECK_FALSE(machine.at(13, {}));
}

TEST_CASE("new_servers.the_pace_of_searches") {
  SearchPace pace;
  const auto begin = SearchPace::Clock::now();
  CHECK(pace.allows(begin));
  int searches = 0;
  for (auto now = begin; now < begin + 100s; now += 10ms) {  // something begins to listen again and again
    if (pace.allows(now)) {
      pace.note(now + 5ms, 5ms);
      ++searches;
    }
  }
  CHECK(searches > 60 + 150);
  CHECK(searches < 60 + 210);  // 60 at once, and then two a second
  CHECK_FALSE(pace.allows(begin + 100s));
  CHECK(pace.allows(begin + 101s));  // a second is the longest that a new server waits
  CHECK(pace.allows(begin + 200s));
}

}  // namespace
}  // namespace monitor
