// SPDX-License-Identifier: Apache-2.0
#include "cli/serve.h"

#include <fmt/format.h>

#include <optional>
#include <utility>
#include <vector>

#include "base/event_loop.h"
#include "base/signals.h"
#include "cli/fleet_setup.h"
#include "http/routes.h"
#include "http/server.h"
#include "sinks/exporter.h"

namespace monitor {
namespace {

struct Woken {
  bool signal = false;
};

// Waits until something has happened; the HTTP server answers meanwhile. The end of a server comes before the requests,
// so that their responses are made after it.
Result<Woken> wait(EventLoop& events, const Signals& signals, const Fleet& fleet, Exporter& exporter) {
  Woken woken;
  bool refreshed = false;
  std::vector<EventLoop::Watch> watches;
  watches.push_back(events.watch(signals.fd(), POLLIN, woken.signal, EventLoop::Rank::kFirst));
  for (const int server : fleet.ended_fds()) {
    watches.push_back(events.watch(
        server, POLLIN,
        [&](short) {
          if (!std::exchange(refreshed, true)) {
            exporter.refresh();
          }
          return Ok{};
        },
        EventLoop::Rank::kFirst));
  }
  TRY(events.wait());
  return woken;
}

Result<int> answer_requests(EventLoop& events, Fleet& fleet, Exporter& exporter, const Signals& signals,
                            Reporter& reporter) {
  std::size_t reported = 0;
  for (;;) {
    const Woken woken = TRY(wait(events, signals, fleet, exporter));
    if (woken.signal && signals.take().stop) {
      return 0;
    }
    for (; reported < fleet.ended().size(); ++reported) {
      report_ended(fleet.ended()[reported], reporter);
    }
    if (std::optional<Error> failed = exporter.failed()) {
      return *std::move(failed);
    }
    if (exporter.server_ended()) {
      return static_cast<int>(ErrorCode::kNoTarget);
    }
  }
}

}  // namespace

Result<int> serve(const ServeOptions& options, Reporter& reporter) {
  const Signals signals = TRY(Signals::block({}));
  std::optional<Fleet> fleet;
  Exporter exporter([&fleet] { return fleet->sample(); }, options.engine.version);
  const Routes routes(exporter.routes());
  EventLoop events;
  // Listens before it begins to observe, since it costs nothing to find the port taken; and before it gives up the
  // privileges that a port below 1024 takes. It reads no request until the fleet is there.
  const std::unique_ptr<HttpServer> http = TRY(HttpServer::listen(
      events, options.listen, [&routes](const HttpRequest& request) { return routes.answer(request); }));
  fleet = TRY(Fleet::begin(options, notices(options, reporter), true));
  settle(*fleet, options, false, reporter);
  reporter.notice(fmt::format("serving http://{}/metrics", to_string(http->address())));
  return answer_requests(events, *fleet, exporter, signals, reporter);
}

}  // namespace monitor
