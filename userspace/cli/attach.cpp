// SPDX-License-Identifier: Apache-2.0
#include "cli/attach.h"

#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <memory>
#include <utility>
#include <vector>

#include "base/boot_clock.h"
#include "cli/attached.h"
#include "cli/fleet.h"
#include "cli/follow.h"
#include "cli/output_file.h"
#include "cli/report.h"
#include "output/sessions.h"

namespace monitor {
namespace {

// These commands take a moment and are then done: a Ctrl-C must not leave half of it.
void defer_signals() {
  sigset_t deferred;
  sigemptyset(&deferred);
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP, SIGTSTP}) {
    sigaddset(&deferred, signal);
  }
  ::sigprocmask(SIG_BLOCK, &deferred, nullptr);
}

double wall_seconds() {
  return std::chrono::duration<double>(std::chrono::system_clock::now().time_since_epoch()).count();
}

// A moment since boot on the wall's clock.
double wall_time(std::uint64_t since_ns) {
  return wall_seconds() - to_seconds(nanoseconds_since_boot() - since_ns);
}

Status say(const std::string& line, bool utf8) {
  Result<Written> written = write_all(STDOUT_FILENO, escape_controls(line, utf8) + "\n", "standard output");
  return written ? Status(Ok{}) : Status(std::move(written).error());
}

bool limits_given(const EngineOptions& choice) {
  const EngineOptions usual;
  return choice.max_targets != usual.max_targets || choice.max_endpoints != usual.max_endpoints ||
         choice.max_connections != usual.max_connections;
}

// The engine to add servers to: the one that is there, or a new one.
Result<Engine> engine_for(const AttachOptions& options, const Pins& pins, const ProcFs& proc, const PinLock& lock,
                          bool utf8) {
  Result<std::optional<Engine>> there = open_to_change(pins, proc, lock);
  if (!there) {
    return std::move(there).error();
  }
  if (!*there) {
    return Engine::load(options.engine);
  }
  if (Status status = check_choice(options.engine, **there); !status) {
    return std::move(status).error();
  }
  if (limits_given(options.engine)) {
    report("the limits are those of the engine that is attached already", utf8);
  }
  return *std::move(*there);
}

struct Added {
  Server server;
  std::optional<unsigned> target;  // none: it was attached before
  std::uint64_t since_ns = 0;
};

// Adds one server, if it is not attached yet.
Result<Added> add_server(Engine& engine, const ProcFs& proc, const Server& server) {
  Result<Root> root = open_root(proc, server.pid);
  if (!root) {
    return std::move(root).error();
  }
  Result<std::vector<TargetInfo>> targets = engine.targets();
  if (!targets) {
    return std::move(targets).error();
  }
  for (const TargetInfo& target : *targets) {
    if (target.root == root->identity) {
      return Added{server, std::nullopt, target.since_ns};
    }
  }
  Result<unsigned> target = follow_server(engine, proc, *root);
  if (!target) {
    return std::move(target).error();
  }
  // For the next command to measure CPU against.
  const Result<HostSample> sample = sample_host(proc, server.pid, std::nullopt);
  if (sample) {
    static_cast<void>(engine.exchange_cpu(*sample, 0));
  }
  return Added{server, *target, 0};
}

// All of them or none.
Result<std::vector<Added>> add_servers(Engine& engine, const ProcFs& proc, const std::vector<Server>& servers) {
  std::vector<Added> added;
  for (const Server& server : servers) {
    Result<Added> one = add_server(engine, proc, server);
    if (one) {
      added.push_back(*std::move(one));
      continue;
    }
    for (const Added& before : added) {
      if (before.target) {
        static_cast<void>(engine.remove_target(*before.target));
      }
    }
    return std::move(one).error();
  }
  return added;
}

Status tell(const std::vector<Added>& added, bool utf8) {
  for (const Added& one : added) {
    const std::string line = one.target ? fmt::format("attached pid {}, which listens on {}: {}", one.server.pid,
                                                      fmt::join(one.server.listen, ", "), one.server.command)
                                        : fmt::format("pid {} is attached already, since {}", one.server.pid,
                                                      format_time(wall_time(one.since_ns)));
    if (Status status = say(line, utf8); !status) {
      return status;
    }
  }
  return Ok{};
}

Result<std::vector<Added>> attach_servers(const AttachOptions& options, const Pins& pins, const ProcFs& proc,
                                          const std::vector<Server>& servers, bool utf8) {
  Result<PinLock> lock = pins.make_and_lock();
  if (!lock) {
    return std::move(lock).error();
  }
  Result<Engine> engine = engine_for(options, pins, proc, *lock, utf8);
  if (!engine) {
    return std::move(engine).error();
  }
  Result<std::vector<Added>> added = add_servers(*engine, proc, servers);
  if (!added || engine->is_pinned()) {
    return added;
  }
  if (Status status = engine->pin(pins, *lock); !status) {
    return std::move(status).error();
  }
  return added;
}

Error not_attached(pid_t pid) {
  return Error{ErrorCode::kNoTarget, fmt::format("pid {} is not attached", pid), "monitor sessions lists what is"};
}

// The targets that are meant; none when there is none at all.
Result<std::vector<TargetInfo>> choose_targets(const DetachOptions& options, const std::vector<TargetInfo>& targets) {
  if (options.all) {
    return targets;
  }
  std::vector<TargetInfo> chosen;
  for (const pid_t pid : options.pids) {
    const auto found = std::find_if(targets.begin(), targets.end(),
                                    [pid](const TargetInfo& target) { return target.root.pid == pid; });
    if (found == targets.end()) {
      return not_attached(pid);
    }
    chosen.push_back(*found);
  }
  if (!options.pids.empty() || targets.size() <= 1) {
    return options.pids.empty() ? targets : chosen;
  }
  Error several{ErrorCode::kUsage, fmt::format("{} servers are attached, and none of them was named", targets.size()),
                "name the one that is meant, or all of them:"};
  for (const TargetInfo& target : targets) {
    several.hint += fmt::format("\n  sudo monitor detach --pid {}", target.root.pid);
  }
  several.hint += "\n  sudo monitor detach --all";
  return several;
}

Result<int> nothing_attached(const DetachOptions& options, bool utf8) {
  if (!options.pids.empty()) {
    return not_attached(options.pids.front());
  }
  Status status = say("No server is attached.", utf8);
  return status ? Result<int>(0) : std::move(status).error();
}

// What was given back.
struct Detached {
  std::vector<TargetInfo> targets;
  bool damaged = false;  // what is not known: the engine could not be opened
};

// What cannot be opened can be taken away all the same, when it is to go whatever it holds.
Result<Detached> remove_damaged(const DetachOptions& options, const Pins& pins, const PinLock& lock, Error error) {
  if (!options.all) {
    return error;
  }
  Status status = pins.remove(lock);
  return status ? Result<Detached>(Detached{{}, true}) : std::move(status).error();
}

// Gives the targets back, and with the last one everything.
Result<Detached> detach_targets(const DetachOptions& options, const Pins& pins, const ProcFs& proc) {
  Result<PinLock> lock = pins.lock_exclusive();
  if (!lock) {
    return pins.has_any() ? Result<Detached>(std::move(lock).error()) : Detached{};
  }
  Result<std::optional<Engine>> engine = Engine::open(pins, *lock);
  if (!engine) {
    return remove_damaged(options, pins, *lock, std::move(engine).error());
  }
  if (!*engine) {
    pins.tidy();
    return Detached{};
  }
  Result<std::vector<TargetInfo>> targets = (*engine)->targets();
  if (!targets) {
    return std::move(targets).error();
  }
  Result<std::vector<TargetInfo>> chosen = choose_targets(options, *targets);
  if (!chosen) {
    return std::move(chosen).error();
  }
  std::size_t left = targets->size();
  for (const TargetInfo& target : *targets) {
    const bool is_chosen = std::any_of(chosen->begin(), chosen->end(),
                                       [&](const TargetInfo& other) { return other.index == target.index; });
    if (!is_chosen && target.complete && !is_gone(proc, target.root)) {
      continue;
    }
    if (Status status = (*engine)->remove_target(target.index); !status) {
      return std::move(status).error();
    }
    left -= 1;
  }
  if (left == 0) {
    if (Status status = pins.remove(*lock); !status) {
      return std::move(status).error();
    }
  }
  return Detached{*std::move(chosen)};
}

}  // namespace

Result<int> attach(const AttachOptions& options, bool utf8) {
  defer_signals();
  const ProcFs proc;
  Result<FoundServers> found = find_selected(proc, options.servers, Attached{}, options.engine);
  if (!found) {
    return std::move(found).error();
  }
  for (const auto& [pid, error] : found->refused) {
    report(error, utf8);
  }
  const Pins pins(options.pins);
  Result<std::vector<Added>> added = attach_servers(options, pins, proc, found->servers, utf8);
  if (!added) {
    pins.tidy();
    return std::move(added).error();
  }
  Status status = tell(*added, utf8);
  return status ? Result<int>(0) : std::move(status).error();
}

Result<int> detach(const DetachOptions& options, bool utf8) {
  defer_signals();
  const Pins pins(options.pins);
  if (Status status = pins.check_visible(); !status) {
    return std::move(status).error();
  }
  if (!pins.has_any()) {
    return nothing_attached(options, utf8);
  }
  Result<Detached> detached = detach_targets(options, pins, ProcFs());
  if (!detached) {
    return std::move(detached).error();
  }
  if (detached->damaged) {
    Status status = say("removed what was left of the engine at " + pins.directory(), utf8);
    return status ? Result<int>(0) : std::move(status).error();
  }
  if (detached->targets.empty()) {
    return nothing_attached(options, utf8);
  }
  for (const TargetInfo& target : detached->targets) {
    if (Status status = say(fmt::format("detached pid {}", target.root.pid), utf8); !status) {
      return std::move(status).error();
    }
  }
  return 0;
}

Result<std::string> describe_sessions(const SessionsOptions& options) {
  const ProcFs proc;
  const Pins pins(options.pins);
  if (Status status = pins.check_visible(); !status) {
    return std::move(status).error();
  }
  Result<Attached> attached = open_attached(pins, proc);
  if (!attached) {
    return std::move(attached).error();
  }
  Sessions sessions;
  sessions.directory = options.pins;
  if (attached->engine) {
    Result<EngineInfo> info = attached->engine->info();
    if (!info) {
      return std::move(info).error();
    }
    Result<std::vector<MapUsage>> usage = attached->engine->usage();
    if (!usage) {
      return std::move(usage).error();
    }
    sessions.engine = *std::move(info);
    sessions.maps = *std::move(usage);
  }
  for (const TargetInfo& target : attached->targets) {
    const Result<std::vector<pid_t>> processes = attached->engine->processes(target.index);
    sessions.servers.push_back({target.root.pid, proc.command(target.root.pid), wall_time(target.since_ns),
                                to_seconds(nanoseconds_since_boot() - target.since_ns),
                                processes ? processes->size() : 0});
  }
  return options.json ? render_sessions_json(sessions) + "\n" : render_sessions(sessions);
}

}  // namespace monitor
