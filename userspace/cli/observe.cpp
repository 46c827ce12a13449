// SPDX-License-Identifier: Apache-2.0
#include "cli/observe.h"

#include <fmt/format.h>
#include <poll.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <optional>
#include <utility>

#include "host/procfs.h"

namespace monitor {
namespace {

// A server that forks without end is followed all the same: the kernel side follows forks of what it knows.
constexpr int kMaxRounds = 16;

Error gone(pid_t pid) {
  return Error{ErrorCode::kNoTarget, fmt::format("the server (pid {}) has ended", pid), "start it and try again"};
}

bool has_ended(const Fd& process) {
  pollfd poll{process.get(), POLLIN, 0};
  return ::poll(&poll, 1, 0) > 0;
}

Result<Fd> open_process(pid_t pid) {
  Fd process{static_cast<int>(::syscall(SYS_pidfd_open, pid, 0))};
  if (process) {
    return process;
  }
  const int saved_errno = errno;
  if (saved_errno == ESRCH) {
    return gone(pid);
  }
  if (saved_errno == EINVAL) {
    return Error{ErrorCode::kNoTarget, fmt::format("{} is a thread, not a process", pid),
                 "give the pid of the process it belongs to"};
  }
  return system_error(saved_errno, fmt::format("watch process {}", pid));
}

// Follows the whole tree. What was forked while the list was read is found by reading it again.
Result<unsigned> follow_tree(Engine& engine, const ProcFs& proc, pid_t root) {
  std::vector<pid_t> known = proc.tree(root);
  if (known.empty()) {
    return gone(root);
  }
  Result<unsigned> target = engine.add_target(known);
  if (!target) {
    return target;
  }
  for (int round = 0; round < kMaxRounds; ++round) {
    std::vector<pid_t> now = proc.tree(root);
    const bool stable = std::all_of(now.begin(), now.end(), [&known](pid_t pid) {
      return std::find(known.begin(), known.end(), pid) != known.end();
    });
    if (stable) {
      break;
    }
    if (Status status = engine.add_processes(*target, now); !status) {
      return std::move(status).error();
    }
    known = std::move(now);
  }
  return target;
}

std::string join(const std::vector<std::string>& words) {
  std::string text;
  for (const std::string& word : words) {
    text += (text.empty() ? "" : ", ") + word;
  }
  return text;
}

Error not_listening(pid_t pid, std::size_t processes, const std::vector<std::string>& elsewhere) {
  Error error{ErrorCode::kNoTarget,
              fmt::format("pid {} has no listening socket, nor has any of its descendants ({} process{} looked at)",
                          pid, processes, processes == 1 ? "" : "es"),
              "give the pid of the server itself; without --pid the servers on this machine are looked for"};
  if (!elsewhere.empty()) {
    error.what += fmt::format("; it listens on {}", join(elsewhere));
    error.hint = "only TCP and Unix stream sockets are followed";
  }
  return error;
}

Status check_listens(Engine& engine, unsigned target, const ProcFs& proc, pid_t root) {
  const std::vector<pid_t> processes = proc.tree(root);
  Result<SocketsLook> look = engine.look_at_sockets(target, processes);
  if (!look) {
    return std::move(look).error();
  }
  if (look->listen.empty()) {
    return not_listening(root, processes.size(), proc.listening(processes));
  }
  return Ok{};
}

// Also when nothing is seen: the kernel may hide the descriptors.
bool may_listen_on_unix(const ProcFs& proc, pid_t root) {
  const std::vector<std::string> listens = proc.listening(proc.tree(root));
  return listens.empty() || std::any_of(listens.begin(), listens.end(),
                                        [](const std::string& address) { return address.starts_with("unix:"); });
}

double seconds_since_boot() {
  timespec now{};
  ::clock_gettime(CLOCK_BOOTTIME, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) / 1e9;
}

// Of processes that have ended nothing is left but what they were.
HostSample after_the_end(HostSample sample) {
  sample.at_seconds = seconds_since_boot();
  for (ProcessSample& process : sample.processes) {
    process.memory_bytes = 0;
    process.threads = 0;
  }
  return sample;
}

}  // namespace

Observation::Observation(Engine engine, unsigned target, pid_t pid, Fd root, HostSample first)
    : engine_(std::move(engine)),
      target_(target),
      pid_(pid),
      root_(std::move(root)),
      start_seconds_(first.processes.front().start_seconds),
      latest_(std::move(first)) {
  cpu_reference_.before(latest_);
}

Result<Observation> Observation::begin(const Server& server, const EngineOptions& options) {
  const ProcFs proc;
  Result<Fd> root = open_process(server.pid);
  if (!root) {
    return std::move(root).error();
  }
  // That it lives after the sample was taken makes the sample one of this process.
  Result<HostSample> first = sample_host(proc, server.pid, std::nullopt);
  if (!first || first->processes.empty() || has_ended(*root)) {
    return gone(server.pid);
  }
  EngineOptions needed = options;
  needed.unix_sockets = may_listen_on_unix(proc, server.pid);
  Result<Engine> engine = Engine::load(needed);
  if (!engine) {
    return std::move(engine).error();
  }
  Result<unsigned> target = follow_tree(*engine, proc, server.pid);
  if (!target) {
    return std::move(target).error();
  }
  if (Status status = check_listens(*engine, *target, proc, server.pid); !status) {
    return has_ended(*root) ? gone(server.pid) : std::move(status).error();
  }
  // Loading took a while; CPU is measured from when counting began.
  Result<HostSample> begun = sample_host(proc, server.pid, first->processes.front().start_seconds);
  if (!begun) {
    return std::move(begun).error();
  }
  return Observation(*std::move(engine), *target, server.pid, *std::move(root), *std::move(begun));
}

Result<HostSample> Observation::sample(bool& ended) {
  ended = has_ended(root_);
  if (!ended) {
    Result<HostSample> now = sample_host(ProcFs(), pid_, start_seconds_);
    if (now) {
      latest_ = *now;
      return now;
    }
    if (now.error().code != ErrorCode::kNoTarget) {
      return now;
    }
    ended = true;
  }
  return after_the_end(latest_);
}

Result<SocketsLook> Observation::sockets(bool ended) {
  Result<std::vector<pid_t>> processes = engine_.processes(target_);
  if (!processes) {
    return std::move(processes).error();
  }
  // A supervisor that was killed leaves workers behind; without any, a server that has ended has no sockets.
  if (processes->empty() && !ended) {
    *processes = ProcFs().tree(pid_);
  }
  Result<SocketsLook> look = engine_.look_at_sockets(target_, *processes);
  if (!look) {
    return look;
  }
  if (ended) {
    look->listen = listen_;  // where it used to
  }
  listen_ = look->listen;
  return look;
}

Result<Look> Observation::look() {
  Look look;
  Result<HostSample> host = sample(look.server_ended);
  if (!host) {
    return std::move(host).error();
  }
  Result<SocketsLook> seen = sockets(look.server_ended);
  if (!seen) {
    return std::move(seen).error();
  }
  // Behind the sockets: a request that begins in between is then not one more that waits.
  Result<Counters> counters = engine_.read(target_);
  if (!counters) {
    return std::move(counters).error();
  }
  // After the end there is no more CPU to measure: against itself it is 0.
  const std::optional<HostSample> before = look.server_ended ? latest_ : cpu_reference_.before(*host);
  look.snapshot = make_snapshot(*counters, *seen, *host, before);
  return look;
}

}  // namespace monitor
