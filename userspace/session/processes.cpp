// SPDX-License-Identifier: Apache-2.0
#include "session/processes.h"

#include <bpf/bpf.h>
#include <monitor/abi.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <string>
#include <utility>

#include "base/fd.h"
#include "session/map_walk.h"

namespace monitor {
namespace {

bool has_ended(std::uint32_t pid) {
  const Fd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  pollfd readable{process.get(), POLLIN, 0};
  return !process || ::poll(&readable, 1, 0) == 1;
}

void set_followed(const Objects& objects, std::uint32_t pid, bool on) {
  auto& word = objects.followed->words[pid / 64];
  const std::uint64_t bit = 1ULL << (pid % 64);
  if (on) {
    __atomic_fetch_or(&word, bit, __ATOMIC_SEQ_CST);
  } else {
    __atomic_fetch_and(&word, ~bit, __ATOMIC_SEQ_CST);
  }
}

void delete_entry(const Objects& objects, std::uint32_t pid, const monitor_process& process) {
  set_followed(objects, pid, false);
  if (bpf_map_delete_elem(objects.map("processes").fd(), &pid) == 0) {
    bpf_map_update_elem(objects.map("free_workers").fd(), nullptr, &process.worker, BPF_ANY);
  }
}

// The processes whose entry fulfils the condition, sorted.
template <typename Condition>
Result<std::vector<pid_t>> select(const Objects& objects, const Condition& condition) {
  std::vector<pid_t> pids;
  TRY((for_each_entry<std::uint32_t, monitor_process>(objects.map("processes"),
                                                      [&](std::uint32_t pid, const monitor_process& process) {
                                                        if (condition(process)) {
                                                          pids.push_back(static_cast<pid_t>(pid));
                                                        }
                                                      })));
  std::sort(pids.begin(), pids.end());
  return pids;
}

}  // namespace

Result<std::vector<pid_t>> followed_processes(const Objects& objects, unsigned target) {
  return select(objects, [target](const monitor_process& process) { return process.target == target; });
}

Result<std::vector<pid_t>> joined_processes(const Objects& objects, unsigned target) {
  return select(objects,
                [target](const monitor_process& process) { return process.target == target && process.joined != 0; });
}

Status follow_process(const Objects& objects, std::uint32_t target, std::uint32_t pid) {
  const int free_workers = objects.map("free_workers").fd();
  monitor_process process{target, 0, 0};
  if (bpf_map_lookup_and_delete_elem(free_workers, nullptr, &process.worker) != 0) {
    return Error{ErrorCode::kFailed, "follow process " + std::to_string(pid) + ": the table of processes is full",
                 "follow fewer servers at once"};
  }
  monitor_worker worker{};
  worker.pid = pid;
  if (bpf_map_update_elem(objects.map("workers").fd(), &process.worker, &worker, BPF_ANY) != 0) {
    return system_error(errno, "follow process " + std::to_string(pid));
  }
  if (bpf_map_update_elem(objects.map("processes").fd(), &pid, &process, BPF_NOEXIST) != 0) {
    const int saved_errno = errno;
    bpf_map_update_elem(free_workers, nullptr, &process.worker, BPF_ANY);
    return saved_errno == EEXIST ? Status{Ok{}} : system_error(saved_errno, "follow process " + std::to_string(pid));
  }
  set_followed(objects, pid, true);
  // If the process ended before its bit was set, the exit hook ignored it, and the next process with its pid would be
  // followed.
  if (has_ended(pid) && bpf_map_delete_elem(objects.map("processes").fd(), &pid) == 0) {
    set_followed(objects, pid, false);
    bpf_map_update_elem(free_workers, nullptr, &process.worker, BPF_ANY);
  }
  return Ok{};
}

void forget_process(const Objects& objects, unsigned target, pid_t pid) {
  monitor_process process{};
  const auto key = static_cast<std::uint32_t>(pid);
  if (bpf_map_lookup_elem(objects.map("processes").fd(), &key, &process) == 0 && process.target == target) {
    delete_entry(objects, key, process);
  }
}

Result<bool> forget_processes(const Objects& objects, unsigned target) {
  std::vector<std::pair<std::uint32_t, monitor_process>> theirs;
  TRY((for_each_entry<std::uint32_t, monitor_process>(objects.map("processes"),
                                                      [&](std::uint32_t pid, const monitor_process& process) {
                                                        if (process.target == target) {
                                                          theirs.emplace_back(pid, process);
                                                        }
                                                      })));
  for (const auto& [pid, process] : theirs) {
    delete_entry(objects, pid, process);
  }
  return !theirs.empty();
}

}  // namespace monitor
