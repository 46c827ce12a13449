// SPDX-License-Identifier: Apache-2.0
#include "cli/attach.h"

#include <fmt/format.h>

#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "base/wall_clock.h"
#include "cli/change_engine.h"
#include "host/mounts.h"
#include "observe/attached.h"
#include "observe/find_selected.h"
#include "observe/follow.h"
#include "output/sessions.h"

namespace monitor {
namespace {

bool limits_given(const EngineOptions& options) {
  const EngineOptions usual;
  return options.max_targets != usual.max_targets || options.max_endpoints != usual.max_endpoints ||
         options.max_connections != usual.max_connections;
}

// The engine to add servers to: the one that is attached, or a new one.
Result<Engine> engine_for(const AttachOptions& options, const Pins& pins, const ProcFs& proc, const PinLock& lock,
                          Reporter& reporter) {
  std::optional<Engine> attached = TRY(open_to_change(pins, proc, lock));
  if (!attached) {
    return Engine::load(options.engine);
  }
  TRY(check_options(options.engine, *attached));
  if (limits_given(options.engine)) {
    reporter.notice("the limits of the engine that is already attached apply");
  }
  return *std::move(attached);
}

struct Added {
  Server server;
  std::optional<unsigned> target;  // absent if it was attached before
  std::uint64_t since_ns = 0;
  pid_t beside = 0;  // the attached server beside which it serves, and is counted; 0: it is counted by itself
};

// Adds one server, if it is not attached yet. `others` are roots of servers that are none of its processes.
Result<Added> add_server(Engine& engine, const ProcFs& proc, const Server& server, const std::vector<pid_t>& others,
                         double keep_ended_seconds) {
  const Root root = TRY(open_root(proc, server.pid));
  const std::vector<TargetInfo> targets = TRY(current_targets(engine, proc));
  for (const TargetInfo& target : targets) {
    if (target.root == root.identity) {
      return Added{server, std::nullopt, target.since_ns};
    }
  }
  if (const std::optional<TargetInfo> counting = TRY(target_beside(engine, targets, proc, server.pid))) {
    return Added{server, std::nullopt, counting->since_ns, counting->root.pid};
  }
  const unsigned target = TRY(follow_server(engine, proc, root, others));
  if (Status status = engine.keep_ended(target, keep_ended_seconds); !status) {
    static_cast<void>(engine.remove_target(target));
    return std::move(status).error();
  }
  // The next command measures CPU use against this sample.
  const Result<HostSample> sample = sample_host(proc, server.pid, std::nullopt);
  if (sample) {
    static_cast<void>(engine.exchange_cpu(*sample, 0));
  }
  return Added{server, target, 0};
}

// Adds all of the servers or, on failure, no server. A search for all finds each as a server of its own.
Result<std::vector<Added>> add_servers(Engine& engine, const ProcFs& proc, const std::vector<Server>& servers,
                                       const AttachOptions& options) {
  std::vector<pid_t> roots;
  for (const Server& server : options.servers.all ? servers : std::vector<Server>()) {
    roots.push_back(server.pid);
  }
  std::vector<Added> added;
  for (const Server& server : servers) {
    Result<Added> one = add_server(engine, proc, server, roots, options.keep_ended_seconds);
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

std::string describe_added(const Added& added) {
  if (added.target) {
    return fmt::format("attached pid {}, which listens on {}: {}", added.server.pid,
                       fmt::join(added.server.listen, ", "), added.server.command);
  }
  const std::string since = format_time(wall_seconds(added.since_ns));
  if (added.beside != 0) {
    return fmt::format("pid {} is counted with pid {}, on whose address it serves; that one is attached since {}",
                       added.server.pid, added.beside, since);
  }
  return fmt::format("pid {} is attached already, since {}", added.server.pid, since);
}

Status say_added(const std::vector<Added>& added, Reporter& reporter) {
  for (const Added& one : added) {
    TRY(say(describe_added(one), reporter));
    if (is_guess(one.server.evidence)) {
      reporter.notice(describe(one.server));
    }
    for (const Server& other : one.server.passed_over) {
      if (!is_guess(other.evidence)) {
        reporter.notice("passed over " + describe(other));
      }
    }
  }
  return Ok{};
}

Result<std::vector<Added>> attach_servers(const AttachOptions& options, const Pins& pins, const ProcFs& proc,
                                          const std::vector<Server>& servers, Reporter& reporter) {
  const PinLock lock = TRY(pins.make_and_lock());
  // Pins elsewhere would be gone with the container, and no command outside would find them.
  TRY(within("attach", check_host_sees(proc, pins.directory())));
  Engine engine = TRY(engine_for(options, pins, proc, lock, reporter));
  Result<std::vector<Added>> added = add_servers(engine, proc, servers, options);
  if (!added || engine.is_pinned()) {
    return added;
  }
  TRY(engine.pin(pins, lock));
  return added;
}

}  // namespace

Result<int> attach(const AttachOptions& options, Reporter& reporter) {
  defer_signals();
  const ProcFs proc;
  ProgramReader programs;
  const FoundServers found = TRY(find_selected(proc, options.servers, Attached{}, options.engine, programs));
  for (const auto& [pid, error] : found.refused) {
    reporter.report(error);
  }
  const Pins pins(options.pins);
  Result<std::vector<Added>> added = attach_servers(options, pins, proc, found.servers, reporter);
  if (!added) {
    pins.remove_empty_directory();
    return std::move(added).error();
  }
  TRY(say_added(*added, reporter));
  return 0;
}

}  // namespace monitor
