// SPDX-License-Identifier: Apache-2.0
// How a target comes to be followed, and how it leaves.
#include <bpf/bpf.h>
#include <linux/membarrier.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <thread>
#include <utility>

#include "base/boot_clock.h"
#include "base/fd.h"
#include "session/engine_state.h"
#include "session/iterator.h"
#include "session/map_walk.h"

namespace monitor {
namespace {

bool has_ended(std::uint32_t pid) {
  const Fd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  pollfd readable{process.get(), POLLIN, 0};
  return !process || ::poll(&readable, 1, 0) == 1;
}

void follow(const Objects& objects, std::uint32_t pid, bool on) {
  auto& word = objects.followed->words[pid / 64];
  const std::uint64_t bit = 1ULL << (pid % 64);
  if (on) {
    __atomic_fetch_or(&word, bit, __ATOMIC_SEQ_CST);
  } else {
    __atomic_fetch_and(&word, ~bit, __ATOMIC_SEQ_CST);
  }
}

// Makes the process's entry, unless the fork hook was first.
Status follow_process(const Objects& objects, std::uint32_t target, std::uint32_t pid) {
  const int free_workers = objects.free_workers.fd();
  monitor_process process{target, 0};
  if (bpf_map_lookup_and_delete_elem(free_workers, nullptr, &process.worker) != 0) {
    return Error{ErrorCode::kFailed, "follow process " + std::to_string(pid) + ": the table of processes is full",
                 "follow fewer servers at once"};
  }
  monitor_worker worker{};
  worker.pid = pid;
  if (bpf_map_update_elem(objects.workers.fd(), &process.worker, &worker, BPF_ANY) != 0) {
    return system_error(errno, "follow process " + std::to_string(pid));
  }
  if (bpf_map_update_elem(objects.processes.fd(), &pid, &process, BPF_NOEXIST) != 0) {
    const int saved_errno = errno;
    bpf_map_update_elem(free_workers, nullptr, &process.worker, BPF_ANY);
    return saved_errno == EEXIST ? Status{Ok{}} : system_error(saved_errno, "follow process " + std::to_string(pid));
  }
  follow(objects, pid, true);
  // It may have ended before the bit was there for the exit hook to see: the next process of that id would be followed.
  if (has_ended(pid) && bpf_map_delete_elem(objects.processes.fd(), &pid) == 0) {
    follow(objects, pid, false);
    bpf_map_update_elem(free_workers, nullptr, &process.worker, BPF_ANY);
  }
  return Ok{};
}

// Follows no process of the target any more. Whoever deletes the entry gives its slot back.
Status forget_processes(const Objects& objects, unsigned target, bool& found) {
  std::vector<std::pair<std::uint32_t, monitor_process>> theirs;
  Status status =
      for_each_entry<std::uint32_t, monitor_process>(objects.processes, [&](std::uint32_t pid, const auto& process) {
        if (process.target == target) {
          theirs.emplace_back(pid, process);
        }
      });
  for (const auto& [pid, process] : theirs) {
    follow(objects, pid, false);
    if (bpf_map_delete_elem(objects.processes.fd(), &pid) == 0) {
      bpf_map_update_elem(objects.free_workers.fd(), nullptr, &process.worker, BPF_ANY);
    }
  }
  found = !theirs.empty();
  return status;
}

// Returns when every hook that runs now is done: they run as readers of RCU. Kernels with CPUs that are left alone
// (nohz_full) have no such call; no hook takes so long.
void wait_for_hooks() {
  constexpr std::chrono::milliseconds kLong{50};
  if (::syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) != 0) {
    std::this_thread::sleep_for(kLong);
  }
}

Status forget_ports(const Objects& objects, unsigned target) {
  std::vector<std::uint32_t> theirs;
  Status status = for_each_entry<std::uint32_t, std::uint8_t>(objects.listen_ports, [&](std::uint32_t key, auto) {
    if (key >> 16 == target) {
      theirs.push_back(key);
    }
  });
  for (const std::uint32_t key : theirs) {
    bpf_map_delete_elem(objects.listen_ports.fd(), &key);
  }
  return status;
}

Status set_state(const Objects& objects, unsigned target, monitor_target_state state) {
  Result<monitor_target_settings> settings = read_settings(objects, target);
  if (!settings) {
    return std::move(settings).error();
  }
  settings->state = state;
  return write_settings(objects, target, *settings);
}

// The listening ports: of a socket met while processes are added only its port tells whose side it is.
Status note_ports(const Objects& objects, unsigned target, const std::vector<std::uint16_t>& ports) {
  for (const std::uint16_t port : ports) {
    const std::uint32_t key = target << 16 | port;
    const std::uint8_t listens = 1;
    if (bpf_map_update_elem(objects.listen_ports.fd(), &key, &listens, BPF_ANY) != 0) {
      return system_error(errno, "note the listening port " + std::to_string(port));
    }
  }
  return Ok{};
}

// Takes in the sockets that the processes have open.
Status adopt_sockets(const Objects& objects, unsigned target, const std::vector<pid_t>& processes) {
  *objects.iter_request = {.action = ITER_ADOPT, .target = target, .socket = 0};
  Status status = Ok{};
  for (const pid_t pid : processes) {
    bpf_iter_link_info info{};
    info.task.pid = static_cast<std::uint32_t>(pid);
    Result<std::vector<char>> read = read_iterator(objects.iterate_sockets, info);
    if (!read) {
      status = std::move(read).error();
      break;
    }
  }
  *objects.iter_request = {};
  return status;
}

}  // namespace

Result<monitor_target_settings> read_settings(const Objects& objects, unsigned target) {
  const std::uint32_t key = target;
  monitor_target_settings settings{};
  if (bpf_map_lookup_elem(objects.target_settings.fd(), &key, &settings) != 0) {
    return system_error(errno, "read the map target_settings");
  }
  return settings;
}

Status write_settings(const Objects& objects, unsigned target, const monitor_target_settings& settings) {
  const std::uint32_t key = target;
  if (bpf_map_update_elem(objects.target_settings.fd(), &key, &settings, BPF_ANY) != 0) {
    return system_error(errno, "write the map target_settings");
  }
  return Ok{};
}

Result<std::vector<TargetInfo>> Engine::targets() const {
  std::vector<TargetInfo> found;
  for (unsigned target = 0; target < state_->objects.targets.max_entries(); ++target) {
    Result<monitor_target_settings> settings = read_settings(state_->objects, target);
    if (!settings) {
      return std::move(settings).error();
    }
    if (settings->state != TARGET_FREE) {
      found.push_back(TargetInfo{target,
                                 {static_cast<pid_t>(settings->root), settings->root_start_ns},
                                 settings->since_ns,
                                 settings->since_ns != 0 && settings->state != TARGET_LEAVING});
    }
  }
  return found;
}

Result<unsigned> Engine::add_target(const ProcessIdentity& root, const std::vector<pid_t>& processes) {
  const Objects& objects = state_->objects;
  Result<std::vector<TargetInfo>> taken = targets();
  if (!taken) {
    return std::move(taken).error();
  }
  unsigned target = 0;
  while (std::any_of(taken->begin(), taken->end(), [&](const TargetInfo& other) { return other.index == target; })) {
    ++target;
  }
  if (target >= state_->targets.size()) {
    return Error{ErrorCode::kFailed,
                 "add the server: " + std::to_string(state_->targets.size()) + " servers are followed already",
                 is_pinned() ? "detach one of them; how many there can be is said at the first attach: --max-targets N"
                             : "stop following one of them"};
  }
  Result<std::uint64_t> misses = recursion_misses(objects);
  if (!misses) {
    return std::move(misses).error();
  }
  monitor_target_settings settings{};
  settings.state = TARGET_REGISTERING;
  settings.root = static_cast<std::uint32_t>(root.pid);
  settings.root_start_ns = root.start_ns;
  settings.misses_before = settings.misses_reconciled = *misses;
  // Whose it is before it holds anything: should this process be killed, the next one gives all of it back.
  if (Status status = write_settings(objects, target, settings); !status) {
    return std::move(status).error();
  }
  state_->targets[target] = TargetState{};
  state_->targets[target].since_ns = nanoseconds_since_boot();
  Status status = make_special_endpoints(objects, target, settings);
  if (status) {
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
  std::vector<pid_t> added;
  for (const pid_t pid : processes) {
    monitor_process known{};
    const auto key = static_cast<std::uint32_t>(pid);
    if (bpf_map_lookup_elem(objects.processes.fd(), &key, &known) != 0) {
      added.push_back(pid);
    } else if (known.target != target) {
      return Error{ErrorCode::kFailed,
                   "process " + std::to_string(pid) + " belongs to a server that is followed already",
                   is_pinned() ? "monitor sessions lists them" : ""};
    }
  }
  if (added.empty()) {
    return Ok{};
  }
  Result<SocketsLook> look = look_at_sockets(target, processes);
  if (!look) {
    return std::move(look).error();
  }
  if (Status status = note_ports(objects, target, look->listen_ports); !status) {
    return status;
  }
  if (Status status = set_state(objects, target, TARGET_REGISTERING); !status) {
    return status;
  }
  for (const pid_t pid : added) {
    if (Status status = follow_process(objects, target, static_cast<std::uint32_t>(pid)); !status) {
      return status;
    }
  }
  if (Status status = adopt_sockets(objects, target, added); !status) {
    return status;
  }
  return set_state(objects, target, TARGET_FOLLOWED);
}

Status Engine::complete_target(unsigned target) {
  Result<monitor_target_settings> settings = read_settings(state_->objects, target);
  if (!settings) {
    return std::move(settings).error();
  }
  settings->since_ns = state_->targets.at(target).since_ns;
  return write_settings(state_->objects, target, *settings);
}

Status Engine::join_target(const TargetInfo& target) {
  state_->targets.at(target.index) = TargetState{};
  state_->targets.at(target.index).since_ns = target.since_ns;
  return Ok{};
}

Status Engine::remove_target(unsigned target) {
  const Objects& objects = state_->objects;
  if (Status status = set_state(objects, target, TARGET_LEAVING); !status) {
    return status;
  }
  // Until a walk finds none: a fork that was under way may have added one more.
  for (bool found = true; found;) {
    if (Status status = forget_processes(objects, target, found); !status) {
      return status;
    }
    wait_for_hooks();
  }
  if (Status status = disown_records(objects, target); !status) {
    return status;
  }
  wait_for_hooks();
  if (Status status = forget_ports(objects, target); !status) {
    return status;
  }
  if (Status status = forget_cpu_samples(objects); !status) {
    return status;
  }
  if (Status status = free_endpoints(objects, target); !status) {
    return status;
  }
  const std::uint32_t key = target;
  const monitor_target blank{};
  if (bpf_map_update_elem(objects.targets.fd(), &key, &blank, BPF_ANY) != 0) {
    return system_error(errno, "write the map targets");
  }
  return write_settings(objects, target, monitor_target_settings{});
}

}  // namespace monitor
