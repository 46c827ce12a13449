// SPDX-License-Identifier: Apache-2.0
#include "cli/serve_loop.h"

#include <optional>
#include <utility>

namespace monitor {

Result<int> run_serve_loop(EventLoop& events, const Signals& signals, const EndedServers& ended, Exporter& exporter) {
  bool stopped = false;
  const EventLoop::Watch signal = events.watch(
      signals.fd(), POLLIN,
      [&](short) {
        if (signals.take().stop) {
          stopped = true;
          events.end_wait();
        }
        return Ok{};
      },
      EventLoop::Rank::kFirst);
  const EventLoop::Watch server_ended = events.watch(
      ended.fds, POLLIN,
      [&](short) {
        exporter.refresh();
        return Ok{};
      },
      EventLoop::Rank::kFirst);
  for (;;) {
    TRY(events.wait());
    if (stopped) {
      return 0;
    }
    ended.report();
    if (std::optional<Error> failed = exporter.failed()) {
      return *std::move(failed);
    }
    if (exporter.server_ended()) {
      return static_cast<int>(ErrorCode::kNoTarget);
    }
  }
}

}  // namespace monitor
