// SPDX-License-Identifier: Apache-2.0
#include "observe/handover.h"

#include <algorithm>
#include <chrono>
#include <string_view>
#include <thread>
#include <tuple>
#include <utility>

#include "base/boot_clock.h"
#include "base/contains.h"
#include "host/command_line.h"

namespace monitor {
namespace {

// Processes that are being killed together with their root have ended after this time.
constexpr std::chrono::milliseconds kTreeEndsWithin{100};

ProcessIdentity identity_of(const ProcessSample& process) {
  return {process.pid, to_nanoseconds(process.start_seconds)};
}

// The supervisor of the process, which need not be a member: the kernel side sees a worker first if the supervisor
// inherited its listening socket. It started after the root that came before; the parent of an orphan did not.
ProcessSample supervisor_of(const ProcFs& proc, ProcessSample process, const ProcessIdentity& before) {
  for (;;) {
    Result<ProcessSample> parent = proc.process(process.parent);
    if (!parent || parent->pid == process.pid || to_nanoseconds(parent->start_seconds) < before.start_ns ||
        !is_worker_of(proc.arguments(process.pid), proc.arguments(parent->pid))) {
      return process;
    }
    process = *std::move(parent);
  }
}

// The successor at this moment.
Result<std::optional<Successor>> successor_now(const Engine& engine, unsigned target, const ProcFs& proc,
                                               const ProcessIdentity& ended, const std::string& address) {
  std::map<pid_t, ProcessSample> members;
  for (const pid_t pid : TRY(engine.processes(target))) {
    Result<ProcessSample> sample = proc.process(pid);
    // Another process can have the pid of the root that has ended.
    if (sample && identity_of(*sample) != ended) {
      members.emplace(pid, *std::move(sample));
    }
  }
  if (members.empty()) {
    return std::optional<Successor>();
  }
  std::vector<pid_t> holders;
  std::string served;
  for (const ListenerSample& listener : TRY(engine.sample_sockets(target, {})).sample.by_listener) {
    if (address.empty() || listener.address == address) {
      holders.insert(holders.end(), listener.holders.begin(), listener.holders.end());
      served = listener.address;
    }
  }
  const std::optional<pid_t> root = choose_root(members, holders);
  if (!root) {
    return std::optional<Successor>();
  }
  const ProcessSample top = supervisor_of(proc, members.at(*root), ended);
  return std::optional(Successor{identity_of(top), std::move(served)});
}

}  // namespace

bool is_worker_of(const std::vector<std::string>& own, const std::vector<std::string>& above) {
  constexpr std::string_view kTitle = "gunicorn: ";  // with setproctitle, a master and its workers differ after it
  if (own.empty() || above.empty()) {
    return false;
  }
  return own == above || read_command_line(own).code.starts_with("from multiprocessing.") ||
         (own.front().starts_with(kTitle) && above.front().starts_with(kTitle));
}

std::optional<pid_t> choose_root(const std::map<pid_t, ProcessSample>& members, const std::vector<pid_t>& listeners) {
  std::vector<pid_t> tops;
  for (const pid_t listener : listeners) {
    auto member = members.find(listener);
    if (member == members.end()) {
      continue;
    }
    // Parents that were read one after another need not form a tree.
    for (std::size_t steps = 0; steps < members.size(); ++steps) {
      const auto parent = members.find(member->second.parent);
      if (parent == members.end()) {
        break;
      }
      member = parent;
    }
    tops.push_back(member->first);
  }
  const auto first = std::min_element(tops.begin(), tops.end(), [&members](pid_t left, pid_t right) {
    return std::tuple(members.at(left).start_seconds, left) < std::tuple(members.at(right).start_seconds, right);
  });
  return first == tops.end() ? std::nullopt : std::optional(*first);
}

Result<std::optional<Successor>> find_successor(const Engine& engine, unsigned target, const ProcFs& proc,
                                                const ProcessIdentity& ended, const std::string& address) {
  const std::optional<Successor> early = TRY(successor_now(engine, target, proc, ended, address));
  if (!early) {
    return early;
  }
  std::this_thread::sleep_for(kTreeEndsWithin);
  return successor_now(engine, target, proc, ended, address);
}

Result<std::vector<ProcessIdentity>> servers_beside(const Engine& engine, unsigned target, const ProcFs& proc,
                                                    const ProcessIdentity& root) {
  std::vector<ProcessIdentity> found;
  for (const pid_t pid : TRY(engine.joined(target))) {
    const Result<ProcessSample> sample = proc.process(pid);
    if (!sample) {
      continue;
    }
    const ProcessIdentity server = identity_of(supervisor_of(proc, *sample, root));
    if (server != root && !contains(found, server)) {
      found.push_back(server);
    }
  }
  return found;
}

}  // namespace monitor
