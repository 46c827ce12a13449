// SPDX-License-Identifier: Apache-2.0
#include "cli/list.h"

#include <algorithm>
#include <optional>
#include <vector>

#include "base/boot_clock.h"
#include "base/privileges.h"
#include "host/find_server.h"
#include "observe/attached.h"
#include "output/listed.h"

namespace monitor {
namespace {

// Without privileges the list is still useful, so a failure is reported and the list goes on without the engine.
std::optional<Attached> read_attached(const ListOptions& options, const ProcFs& proc, Reporter& reporter) {
  Result<Attached> attached = open_attached(Pins(options.pins), proc);
  if (!attached) {
    reporter.report(attached.error());
    return std::nullopt;
  }
  return *std::move(attached);
}

// The target that counts the server, if one is attached.
std::optional<TargetInfo> target_of(const std::optional<Attached>& attached, const Server& server) {
  const std::optional<TargetInfo> own = attached ? attached->find(server.pid) : std::nullopt;
  return own || !attached ? own : attached->find_beside(server.pid);
}

// Unknown if no engine is attached to the server, or if it is detached just now.
std::vector<ListedListener> listeners_of(const std::optional<Attached>& attached, const Server& server) {
  const std::optional<TargetInfo> target = target_of(attached, server);
  if (target && attached->engine->join_target(*target, {})) {
    const Result<ListedSockets> sockets = attached->engine->sample_sockets(target->index, {});
    const Result<Counters> counters = attached->engine->sample_counters(target->index);
    if (sockets && counters) {
      return counted_listeners(server.listen, *counters, sockets->sample);
    }
  }
  return unknown_listeners(server.listen);
}

}  // namespace

Result<std::string> list_servers(const ListOptions& options, Reporter& reporter) {
  const ProcFs proc;
  const std::optional<Attached> attached = read_attached(options, proc, reporter);
  std::vector<pid_t> known;
  for (const TargetInfo& target : attached ? attached->targets : std::vector<TargetInfo>()) {
    known.push_back(target.root.pid);
  }
  const FoundServers found = find_servers(proc, known, Guesses::kTakeIn);
  for (const auto& [pid, error] : found.refused) {
    reporter.report(error);
  }
  // A program that waits for a server reads the JSON, and the server is not in it yet.
  if (!options.json) {
    std::for_each(found.starting.begin(), found.starting.end(), [&](const Error& error) { reporter.report(error); });
  }
  if (!can_inspect_processes()) {
    reporter.notice("the servers of other users cannot be seen: run it with sudo");
  }
  std::vector<ListedServer> servers;
  for (const Server& server : found.servers) {
    const Result<ProcessSample> sample = proc.process(server.pid);
    if (!sample) {
      continue;  // it has just ended
    }
    ListedServer listed{.pid = server.pid,
                        .kind = server.kind,
                        .evidence = server.evidence,
                        .program = server.program,
                        .application = server.application,
                        .title = server.title,
                        .command = server.command,
                        .listen = server.listen,
                        .listeners = listeners_of(attached, server),
                        .workers = server.workers,
                        .attached = std::nullopt};
    listed.uptime_seconds = std::max(0.0, seconds_since_boot() - sample->start_seconds);
    if (attached) {
      listed.attached = target_of(attached, server).has_value();
    }
    servers.push_back(std::move(listed));
  }
  return options.json ? render_listed_json(servers) + "\n" : render_listed(servers);
}

}  // namespace monitor
