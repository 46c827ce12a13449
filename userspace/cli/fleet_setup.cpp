// SPDX-License-Identifier: Apache-2.0
#include "cli/fleet_setup.h"

#include <fmt/format.h>
#include <malloc.h>

#include <string>

#include "base/privileges.h"

namespace monitor {

Notices notices(const ObserveOptions& options, Reporter& reporter) {
  Notices notices;
  notices.failed = [&reporter](const Error& error) { reporter.report(error); };
  notices.changed = [&reporter](const std::string& sentence) { reporter.notice(sentence); };
  if (options.engine.verbose) {
    notices.done = [&reporter](const std::string& sentence) { reporter.notice(sentence); };
  }
  return notices;
}

void settle(const Fleet& fleet, const ObserveOptions& options, bool writes_log, Reporter& reporter) {
  const Uses uses{writes_log, options.servers.all, fleet.reads_others_pins()};
  if (Status dropped = drop_privileges(uses); !dropped && options.engine.verbose) {
    reporter.report(dropped.error());
  }
  ::malloc_trim(0);  // loading took several times the memory that observing takes
}

EventLoop::Watch watch_between_samples(EventLoop& events, Fleet& fleet) {
  return events.watch([&fleet] { return fleet.check_fds(); }, POLLIN,
                      [&fleet](short) {
                        fleet.check();
                        return Ok{};
                      });
}

void report_doubt(const Fleet& fleet, Reporter& reporter) {
  if (!fleet.doubt().empty()) {
    reporter.notice(fleet.doubt() + " (monitor ls lists all; --pid N chooses)");
  }
}

void report_ended(pid_t pid, Reporter& reporter) {
  reporter.notice(fmt::format("the server (pid {}) has ended", pid));
}

}  // namespace monitor
