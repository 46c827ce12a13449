// SPDX-License-Identifier: Apache-2.0
#include "cli/sessions.h"

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
  return options.json ? render_sessions_json(sessions) + "\n" : render_sessions(sessions);
}

}  // namespace monitor
