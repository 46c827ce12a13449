// SPDX-License-Identifier: Apache-2.0
// Adds and removes targets: how the engine begins and ceases to follow a server.
#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <iterator>
#include <set>
#include <thread>
#include <utility>

#include "base/boot_clock.h"
#include "session/cpu_samples.h"
#include "session/endpoints.h"
#include "session/engine_state.h"
#include "session/listeners.h"
#include "session/map_walk.h"
#include "session/processes.h"
#include "session/records.h"
#include "session/recursion_misses.h"
#include "session/services.h"
#include "session/sockets.h"
#include "session/target_settings.h"
#include "session/totals.h"
#include "session/try_lock.h"

namespace monitor {
namespace {

// Returns once every hook that runs now is done. Hooks are RCU readers, and MEMBARRIER_CMD_GLOBAL waits for those. A
// kernel with nohz_full CPUs rejects it; the pause is then longer than any hook takes.
void wait_for_hooks() {
  constexpr std::chrono::milliseconds kLong{50};
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
    std::this_thread::sleep_for(kLong);
  }
}

// Makes records for the sockets that the processes have open.
Status adopt_sockets(const Objects& objects, unsigned target, const std::vector<pid_t>& processes) {
  *objects.iter_request = {.action = ITER_ADOPT, .target = target, .socket = 0};
  Status status = Ok{};
  std::vector<ListedSocket> ignored;
  for (auto pid = processes.begin(); status && pid != processes.end(); ++pid) {
    status = list_sockets(objects, *pid, ignored);
  }
  *objects.iter_request = {};
  return status;
}

// Returns those of the processes that the engine does not follow yet.
Result<std::vector<pid_t>> not_followed(const Objects& objects, unsigned target, const std::vector<pid_t>& processes,
                                        bool is_pinned) {
  std::vector<pid_t> found;
  for (const pid_t pid : processes) {
    monitor_process known{};
    const auto key = static_cast<std::uint32_t>(pid);
    if (bpf_map_lookup_elem(objects.map("processes").fd(), &key, &known) != 0) {
      found.push_back(pid);
    } else if (known.target != target) {
      return Error{ErrorCode::kFailed,
                   "process " + std::to_string(pid) + " belongs to a server that is followed already",
                   is_pinned ? "monitor sessions lists them" : ""};
    }
  }
  return found;
}

// The roots before, the latest first.
std::vector<pid_t> previous_roots(const monitor_target_settings& settings) {
  std::vector<pid_t> roots;
  std::copy_if(std::begin(settings.previous_roots), std::end(settings.previous_roots), std::back_inserter(roots),
               [](std::uint32_t pid) { return pid != 0; });
  return roots;
}

// Returns the lowest index that no target has.
unsigned free_index(const std::vector<TargetInfo>& taken) {
  unsigned index = 0;
  while (std::any_of(taken.begin(), taken.end(), [index](const TargetInfo& other) { return other.index == index; })) {
    ++index;
  }
  return index;
}

}  // namespace

Result<std::vector<TargetInfo>> Engine::targets() const {
  std::vector<TargetInfo> found;
  for (unsigned target = 0; target < state_->targets.size(); ++target) {
    const monitor_target_settings settings = TRY(read_settings(state_->objects, target));
    if (settings.state != TARGET_FREE) {
      found.push_back(TargetInfo{target,
                                 {static_cast<pid_t>(settings.root), settings.root_start_ns},
                                 settings.since_ns,
                                 settings.since_ns != 0 && settings.state != TARGET_LEAVING,
                                 previous_roots(settings),
                                 false,
                                 TRY(read_totals(state_->objects, target)).root_ended_ns,
                                 to_seconds(settings.keep_ended_ns)});
    }
  }
  return found;
}

Result<unsigned> Engine::add_target(const ProcessIdentity& root, const std::vector<pid_t>& processes,
                                    ListenerHints hints) {
  const Objects& objects = state_->objects;
  const unsigned target = free_index(TRY(targets()));
  if (target >= state_->targets.size()) {
    return Error{ErrorCode::kFailed,
                 "add the server: " + std::to_string(state_->targets.size()) + " servers are followed already",
                 is_pinned() ? "detach one of them; the first attach sets the limit, with --max-targets N"
                             : "stop following one of them"};
  }
  monitor_target_settings settings{};
  settings.state = TARGET_REGISTERING;
  settings.root = static_cast<std::uint32_t>(root.pid);
  settings.root_start_ns = root.start_ns;
  settings.keep_alive_ms = hints.keep_alive_ms;
  settings.misses_before = settings.misses_reconciled = TRY(recursion_misses(objects));
  // Written before the target holds anything: if this process is killed, the next one knows what to give back.
  TRY(write_settings(objects, target, settings));
  state_->targets[target] = TargetState{};
  state_->targets[target].since_ns = nanoseconds_since_boot();
  state_->targets[target].hints = std::move(hints);
  const Result<std::uint32_t> unknown = make_unknown_listener(objects, target);
  Status status = unknown ? Status(Ok{}) : Status(unknown.error());
  if (status) {
    settings.unknown = *unknown;
    status = write_settings(objects, target, settings);
  }
  if (status) {
    status = add_processes(target, processes);
  }
  if (!status) {
    static_cast<void>(remove_target(target));
    return std::move(status).error();
  }
  return target;
}

Status Engine::add_processes(unsigned target, const std::vector<pid_t>& processes) {
  const Objects& objects = state_->objects;
  const std::vector<pid_t> added = TRY(not_followed(objects, target, processes, is_pinned()));
  if (added.empty()) {
    return Ok{};
  }
  ListedSockets listed = TRY(sample_sockets(target, processes));
  // Attaches the hooks that the processes' sockets need, and makes their listeners: these identify the server's side of
  // connections that are open already.
  TRY(maintain(target, listed));
  listed = TRY(sample_sockets(target, processes));
  TRY(judge_known(objects, target, listed.sample, state_->targets[target].hints));
  TRY(set_state(objects, target, TARGET_REGISTERING));
  for (const pid_t pid : added) {
    TRY(follow_process(objects, target, static_cast<std::uint32_t>(pid)));
  }
  TRY(adopt_sockets(objects, target, added));
  return set_state(objects, target, TARGET_FOLLOWED);
}

Status Engine::release_processes(unsigned target, const std::vector<pid_t>& processes) {
  const Objects& objects = state_->objects;
  for (const pid_t pid : processes) {
    forget_process(objects, target, pid);
  }
  wait_for_hooks();
  // Their sockets, now that no hook makes records for them any more, without those that the others hold as well.
  std::vector<ListedSocket> theirs;
  std::vector<ListedSocket> others;
  for (const pid_t pid : processes) {
    TRY(list_sockets(objects, pid, theirs));
  }
  for (const pid_t pid : TRY(followed_processes(objects, target))) {
    TRY(list_sockets(objects, pid, others));
  }
  std::set<SocketIdentity> shared;
  std::transform(others.begin(), others.end(), std::inserter(shared, shared.end()),
                 [](const ListedSocket& socket) { return socket.identity(); });
  std::set<SocketIdentity> alone;
  for (const ListedSocket& socket : theirs) {
    if (!is_listening(socket) && socket.role != ROLE_UNKNOWN && !shared.contains(socket.identity())) {
      alone.insert(socket.identity());
    }
  }
  return disown_sockets(objects, target, alone);
}

Status Engine::complete_target(unsigned target) {
  monitor_target_settings settings = TRY(read_settings(state_->objects, target));
  settings.since_ns = state_->targets.at(target).since_ns;
  return write_settings(state_->objects, target, settings);
}

Status Engine::keep_ended(unsigned target, double seconds) {
  monitor_target_settings settings = TRY(read_settings(state_->objects, target));
  settings.keep_ended_ns = to_nanoseconds(seconds);
  return write_settings(state_->objects, target, settings);
}

Result<bool> Engine::hand_over(unsigned target, const ProcessIdentity& root, ListenerHints hints) {
  state_->targets.at(target).hints = std::move(hints);
  const TryLock lock(state_->lock_file, state_->alone);
  if (!lock) {
    return false;
  }
  TRY(check_counts(target));
  monitor_target_settings settings = TRY(read_settings(state_->objects, target));
  if (settings.root == static_cast<std::uint32_t>(root.pid) && settings.root_start_ns == root.start_ns) {
    return true;  // another process was first
  }
  std::copy_backward(std::begin(settings.previous_roots), std::prev(std::end(settings.previous_roots)),
                     std::end(settings.previous_roots));
  settings.previous_roots[0] = settings.root;
  settings.keep_alive_ms = state_->targets.at(target).hints.keep_alive_ms;
  settings.root = static_cast<std::uint32_t>(root.pid);
  settings.root_start_ns = root.start_ns;
  TRY(write_settings(state_->objects, target, settings));
  TRY(settle_orphans(state_->objects));
  return true;
}

Status Engine::join_target(const TargetInfo& target, ListenerHints hints) {
  state_->targets.at(target.index) = TargetState{};
  state_->targets.at(target.index).since_ns = target.since_ns;
  state_->targets.at(target.index).hints = std::move(hints);
  return Ok{};
}

Status Engine::remove_target(unsigned target) {
  const Objects& objects = state_->objects;
  TRY(set_state(objects, target, TARGET_LEAVING));
  // Repeats until no process is left: a fork that was under way can have added one more.
  while (TRY(forget_processes(objects, target))) {
    wait_for_hooks();
  }
  wait_for_hooks();
  TRY(disown_records(objects, target));
  wait_for_hooks();
  TRY(forget_services(objects, target));
  TRY(forget_cpu_samples(objects));
  TRY(free_endpoints(objects, target));
  TRY(free_listeners(objects, target));
  const std::uint32_t key = target;
  const monitor_target blank{};
  if (bpf_map_update_elem(objects.map("targets").fd(), &key, &blank, BPF_ANY) != 0) {
    return system_error(errno, "write the map targets");
  }
  TRY(write_settings(objects, target, monitor_target_settings{}));
  return settle_orphans(objects);
}

}  // namespace monitor
