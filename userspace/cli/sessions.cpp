// SPDX-License-Identifier: Apache-2.0
#include "cli/sessions.h"

#include <algorithm>
#include <utility>
#include <vector>

#include "base/boot_clock.h"
#include "base/wall_clock.h"
#include "observe/attached.h"
#include "output/sessions.h"

namespace monitor {

Result<std::string> describe_sessions(const SessionsOptions& options) {
  const ProcFs proc;
  const Pins pins(options.pins);
  TRY(pins.check_access());
  const Attached attached = TRY(open_attached(pins, proc));
  Sessions sessions;
  sessions.directory = options.pins;
  if (attached.engine) {
    sessions.engine = TRY(attached.engine->info());
    sessions.maps = TRY(attached.engine->usage());
  }
  for (const TargetInfo& target : attached.targets) {
    const Result<std::vector<pid_t>> processes = attached.engine->processes(target.index);
    sessions.servers.push_back({target.root.pid, proc.command(target.root.pid), wall_seconds(target.since_ns),
                                to_seconds(nanoseconds_since_boot() - target.since_ns),
                                processes ? processes->size() : 0});
  }
  for (const TargetInfo& target : attached.ended) {
    AttachedServer server{target.root.pid, "", wall_seconds(target.since_ns),
                          to_seconds(nanoseconds_since_boot() - target.since_ns), 0};
    const double ended = to_seconds(nanoseconds_since_boot() - target.ended_ns);
    server.kept_seconds = target.ended_ns == 0 ? 0 : std::max(0.0, target.keep_ended_seconds - ended);
    sessions.servers.push_back(std::move(server));
  }
  return options.json ? render_sessions_json(sessions) + "\n" : render_sessions(sessions);
}

}  // namespace monitor
