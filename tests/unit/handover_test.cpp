// SPDX-License-Identifier: Apache-2.0
// Under which process a server goes on after its root process has ended.
#include "observe/handover.h"

#include <doctest/doctest.h>

#include <initializer_list>
#include <map>
#include <vector>

using namespace monitor;

namespace {

struct Member {
  pid_t pid;
  pid_t parent;
  double start;
};

std::map<pid_t, ProcessSample> members(std::initializer_list<Member> list) {
  std::map<pid_t, ProcessSample> samples;
  for (const Member& member : list) {
    ProcessSample sample;
    sample.pid = member.pid;
    sample.parent = member.parent;
    sample.start_seconds = member.start;
    samples.emplace(member.pid, sample);
  }
  return samples;
}

}  // namespace

TEST_CASE("a new master takes over from the old one, not one of its workers") {
  // The kernel made pid 1 the parent of the new master when the old one ended. Pids have wrapped around.
  CHECK(choose_root(members({{300, 1, 20}, {40, 300, 21}, {41, 300, 21}}), {40, 41, 300}) == 300);
  // Only the workers listen: the master that they descend from is still the root.
  CHECK(choose_root(members({{300, 1, 20}, {40, 300, 21}, {41, 300, 21}}), {40, 41}) == 300);
}

TEST_CASE("of workers without a supervisor, the one that started first takes over") {
  CHECK(choose_root(members({{50, 1, 9}, {51, 1, 8}, {52, 1, 9}}), {50, 51, 52}) == 51);
  CHECK(choose_root(members({{52, 1, 9}, {50, 1, 9}}), {50, 52}) == 50);
}

TEST_CASE("a process that does not listen takes over from no server") {
  CHECK_FALSE(choose_root(members({{50, 1, 9}}), {}));
  CHECK_FALSE(choose_root(members({}), {50}));
  CHECK(choose_root(members({{50, 1, 7}, {51, 1, 8}}), {51, 99}) == 51);
}

TEST_CASE("parents that form a cycle do not keep it from choosing") {
  CHECK(choose_root(members({{50, 51, 9}, {51, 50, 8}}), {50}));
}
