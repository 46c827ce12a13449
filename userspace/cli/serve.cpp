// SPDX-License-Identifier: Apache-2.0
#include "cli/serve.h"

#include <fmt/format.h>

#include <cstddef>
#include <memory>
#include <optional>

#include "base/event_loop.h"
#include "base/signals.h"
#include "cli/fleet_setup.h"
#include "cli/serve_loop.h"
#include "http/routes.h"
#include "http/server.h"
#include "sinks/exporter.h"

namespace monitor {

Result<int> serve(const ServeOptions& options, Reporter& reporter) {
  const Signals signals = TRY(Signals::block({}));
  std::optional<Fleet> fleet;
  Exporter exporter([&fleet] { return fleet->sample(); },
                    ServedBy{options.engine.version, SeriesChoice(options.max_scrape)});
  const Routes routes(exporter.routes());
  EventLoop events;
  // Takes the port before it loads anything, so that one that is taken costs nothing, and before settle() gives up the
  // privilege to use a port below 1024. Opens it when counting has begun: whoever waits for the port can rely on that.
  const std::unique_ptr<HttpServer> http = TRY(HttpServer::bind(
      events, options.listen, [&routes](const HttpRequest& request) { return routes.answer(request); }));
  fleet = TRY(Fleet::begin(options, notices(options, reporter), true));
  TRY(fleet->watch());
  settle(*fleet, options, false, reporter);
  report_doubt(*fleet, reporter);
  TRY(http->listen());
  reporter.notice(fmt::format("serving http://{}/metrics", to_string(http->address())));
  std::size_t reported = 0;
  const EndedServers ended{[&fleet] { return fleet->ended_fds(); },
                           [&] {
                             for (; reported < fleet->ended().size(); ++reported) {
                               report_ended(fleet->ended()[reported], reporter);
                             }
                           }};
  const EventLoop::Watch checks = watch_between_samples(events, *fleet);
  return run_serve_loop(events, signals, ended, exporter);
}

}  // namespace monitor
