// SPDX-License-Identifier: Apache-2.0
#include "observe/follow.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <optional>
#include <utility>

#include "base/boot_clock.h"
#include "base/contains.h"
#include "host/listener_hints.h"

namespace monitor {
namespace {

// The most readings of the process list, in case a server forks without end. The kernel side follows later forks of the
// processes that it knows.
constexpr int kMaxRounds = 16;

// The threads of a killed process end as soon as each gets a CPU.
constexpr int kThreadsEndWithinMs = 1000;

Result<Fd> open_process(pid_t pid) {
  Fd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  if (process) {
    return process;
  }
  const int saved_errno = errno;
  if (saved_errno == ESRCH) {
    return server_ended(pid);
  }
  if (saved_errno == EINVAL) {
    return Error{ErrorCode::kNoTarget, fmt::format("{} is a thread, not a process", pid),
                 "give the pid of the process it belongs to"};
  }
  return system_error(saved_errno, fmt::format("watch process {}", pid));
}

// The process and its ancestors.
std::vector<pid_t> ancestors_of(const ProcFs& proc, pid_t pid) {
  std::vector<pid_t> found;
  while (pid > 0 && std::find(found.begin(), found.end(), pid) == found.end()) {
    found.push_back(pid);
    const Result<ProcessSample> sample = proc.process(pid);
    pid = sample ? sample->parent : 0;
  }
  return found;
}

// Whether `pid`, a process below `root`, listens, with what is below it, only where the rest of that tree does not: it
// is a server of its own, and each of the two can be a target without the other.
bool serves_apart(const ProcFs& proc, pid_t root, pid_t pid) {
  const std::vector<std::string> its = proc.listening(proc.tree(pid));
  const std::vector<std::string> others = proc.listening(proc.tree(root, {pid}));
  return !its.empty() && !others.empty() && std::none_of(its.begin(), its.end(), [&](const std::string& address) {
    return std::binary_search(others.begin(), others.end(), address);
  });
}

// `others`, and the roots of the engine's targets that are servers of their own below `root`.
Result<std::vector<pid_t>> separate_servers(const Engine& engine, const ProcFs& proc, pid_t root,
                                            std::vector<pid_t> others) {
  const std::vector<pid_t> tree = proc.tree(root, others);
  for (const TargetInfo& target : TRY(engine.targets())) {
    const pid_t other = target.root.pid;
    if (other != root && contains(tree, other) && serves_apart(proc, root, other)) {
      others.push_back(other);
    }
  }
  return others;
}

// Takes the processes below `root` out of another target than `own` that has them only because it forked them.
Status take_over(Engine& engine, std::optional<unsigned> own, const ProcFs& proc, pid_t root,
                 const std::vector<pid_t>& without) {
  for (const TargetInfo& target : TRY(engine.targets())) {
    if (target.index == own || target.root.pid == root || !contains(TRY(engine.processes(target.index)), root) ||
        !serves_apart(proc, target.root.pid, root)) {
      continue;
    }
    // Repeats, because one of them can fork before it is taken out.
    for (int round = 0; round < kMaxRounds; ++round) {
      std::vector<pid_t> theirs = proc.tree(root, without);
      const std::vector<pid_t> members = TRY(engine.processes(target.index));
      std::erase_if(theirs, [&members](pid_t pid) { return !contains(members, pid); });
      if (theirs.empty()) {
        break;
      }
      TRY(engine.release_processes(target.index, theirs));
    }
  }
  return Ok{};
}

// Reads the list of processes again until it is stable, to find processes that were forked during a reading.
Status follow_forked(Engine& engine, unsigned target, const ProcFs& proc, pid_t root, std::vector<pid_t> known,
                     const std::vector<pid_t>& without) {
  for (int round = 0; round < kMaxRounds; ++round) {
    std::vector<pid_t> now = proc.tree(root, without);
    const bool stable = std::all_of(now.begin(), now.end(), [&known](pid_t pid) {
      return std::find(known.begin(), known.end(), pid) != known.end();
    });
    if (stable) {
      break;
    }
    TRY(engine.add_processes(target, now));
    known = std::move(now);
  }
  return Ok{};
}

Error not_listening(pid_t pid, std::size_t processes, const std::vector<std::string>& elsewhere) {
  Error error{ErrorCode::kNoTarget,
              fmt::format("pid {} has no listening socket, nor has any of its descendants ({} process{} looked at)",
                          pid, processes, processes == 1 ? "" : "es"),
              "give the pid of the server itself; without --pid, monitor searches this machine for servers"};
  if (!elsewhere.empty()) {
    error.what += fmt::format("; it listens on {}", fmt::join(elsewhere, ", "));
    error.hint = "only TCP and Unix stream sockets are followed";
  }
  return error;
}

Status check_listens(Engine& engine, unsigned target, const ProcFs& proc, const Root& root,
                     const std::vector<pid_t>& without) {
  const std::vector<pid_t> processes = proc.tree(root.identity.pid, without);
  const ListedSockets listed = TRY(engine.sample_sockets(target, processes));
  TRY(engine.maintain(target, listed));
  if (listed.sample.listen.empty()) {
    return root.has_ended() ? server_ended(root.identity.pid)
                            : not_listening(root.identity.pid, processes.size(), proc.listening(processes));
  }
  return Ok{};
}

}  // namespace

bool Root::has_ended() const {
  pollfd poll{process.get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0;
}

void Root::await_end() const {
  pollfd poll{process.get(), POLLIN, 0};
  ::poll(&poll, 1, kThreadsEndWithinMs);
}

Error server_ended(pid_t pid) {
  return Error{ErrorCode::kNoTarget, fmt::format("the server (pid {}) has ended", pid), "start it and try again"};
}

Result<Root> open_root(const ProcFs& proc, pid_t pid) {
  Fd process = TRY(open_process(pid));
  const Result<ProcessSample> sample = proc.process(pid);
  Root root{std::move(process),
            {pid, sample ? to_nanoseconds(sample->start_seconds) : 0},
            proc.network_namespace(pid),
            sample ? ancestors_of(proc, sample->parent) : std::vector<pid_t>()};
  // The process still lives, so the sample is not one of another process with the same pid.
  if (!sample || root.has_ended()) {
    return server_ended(pid);
  }
  return root;
}

bool is_gone(const ProcFs& proc, const ProcessIdentity& identity) {
  const Result<ProcessSample> sample = proc.process(identity.pid);
  return !sample ? sample.error().code == ErrorCode::kNoTarget
                 : to_nanoseconds(sample->start_seconds) != identity.start_ns;
}

Status follow_more(Engine& engine, unsigned target, const ProcFs& proc, const Root& root,
                   const std::vector<pid_t>& others) {
  const pid_t pid = root.identity.pid;
  const std::vector<pid_t> without = TRY(separate_servers(engine, proc, pid, others));
  std::vector<pid_t> known = proc.tree(pid, without);
  if (known.empty() || root.has_ended()) {
    return server_ended(pid);
  }
  TRY(take_over(engine, target, proc, pid, without));
  TRY(engine.add_processes(target, known));
  return follow_forked(engine, target, proc, pid, std::move(known), without);
}

Result<unsigned> follow_server(Engine& engine, const ProcFs& proc, const Root& root, const std::vector<pid_t>& others) {
  const pid_t pid = root.identity.pid;
  const std::vector<pid_t> without = TRY(separate_servers(engine, proc, pid, others));
  std::vector<pid_t> known = proc.tree(pid, without);
  if (known.empty()) {
    return server_ended(pid);
  }
  TRY(take_over(engine, std::nullopt, proc, pid, without));
  const unsigned target = TRY(engine.add_target(root.identity, known, listener_hints(proc, pid)));
  Status status = follow_forked(engine, target, proc, pid, std::move(known), without);
  if (status) {
    status = check_listens(engine, target, proc, root, without);
  }
  if (status) {
    status = engine.complete_target(target);
  }
  if (!status) {
    static_cast<void>(engine.remove_target(target));
    return std::move(status).error();
  }
  return target;
}

}  // namespace monitor
