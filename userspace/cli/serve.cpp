// SPDX-License-Identifier: Apache-2.0
#include "cli/serve.h"

#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <utility>
#include <vector>

#include "cli/fleet.h"
#include "cli/privileges.h"
#include "cli/report.h"
#include "cli/scrape.h"
#include "cli/signals.h"
#include "serve/http_server.h"

namespace monitor {
namespace {

struct Events {
  bool signal = false;
  bool server_ended = false;
};

// -1: as long as it takes.
int poll_timeout(const std::optional<HttpServer::Clock::time_point>& due) {
  if (!due) {
    return -1;
  }
  const auto left = std::chrono::ceil<std::chrono::milliseconds>(*due - HttpServer::Clock::now());
  return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

Result<Events> wait(const Signals& signals, const HttpServer& http, const std::vector<int>& servers) {
  std::vector<pollfd> polled{{signals.fd(), POLLIN, 0}, {http.fd(), POLLIN, 0}};
  const auto first_server = static_cast<std::ptrdiff_t>(polled.size());
  for (const int server : servers) {
    polled.push_back({server, POLLIN, 0});
  }
  if (::poll(polled.data(), polled.size(), poll_timeout(http.due())) < 0 && errno != EINTR) {
    return system_error(errno, "wait for requests");
  }
  return Events{polled[0].revents != 0, std::any_of(polled.begin() + first_server, polled.end(),
                                                    [](const pollfd& server) { return server.revents != 0; })};
}

// Says of each server once that it has ended.
class Mourner {
 public:
  Mourner(const Fleet& fleet, bool utf8) : fleet_(fleet), utf8_(utf8) {}
  void tell() {
    for (; told_ < fleet_.ended().size(); ++told_) {
      report(fmt::format("the server (pid {}) has ended", fleet_.ended()[told_]), utf8_);
    }
  }

 private:
  const Fleet& fleet_;
  bool utf8_;
  std::size_t told_ = 0;
};

Result<int> answer_requests(Fleet& fleet, HttpServer& http, Scrapes& scrapes, const Signals& signals, bool utf8) {
  Mourner mourner(fleet, utf8);
  for (;;) {
    Result<Events> woken = wait(signals, http, fleet.ended_fds());
    if (!woken) {
      return std::move(woken).error();
    }
    if (woken->signal && signals.take().stop) {
      return 0;
    }
    if (woken->server_ended) {
      scrapes.look_again();
    }
    http.work();
    mourner.tell();
    if (std::optional<Error> failed = scrapes.failed()) {
      return *std::move(failed);
    }
    if (scrapes.server_ended()) {
      return static_cast<int>(ErrorCode::kNoTarget);
    }
  }
}

}  // namespace

Result<int> serve(const ServeOptions& options, bool utf8) {
  Result<Signals> signals = Signals::block({});
  if (!signals) {
    return std::move(signals).error();
  }
  std::optional<Fleet> fleet;
  Scrapes scrapes([&fleet] { return fleet->look(); });
  // Before the servers, since it costs nothing to find the port taken; and before the privileges go, which a port below
  // 1024 needs. Nobody's bytes are read until all is there.
  Result<HttpServer> http =
      HttpServer::listen(options.listen, [&scrapes](const HttpRequest& request) { return scrapes.answer(request); });
  if (!http) {
    return std::move(http).error();
  }
  const auto say = [utf8](const Error& error) { report(error, utf8); };
  Result<Fleet> begun = Fleet::begin(options, say, true);
  if (!begun) {
    return std::move(begun).error();
  }
  fleet = *std::move(begun);
  if (Status status = drop_privileges({false, options.servers.all, fleet->reads_others_pins()});
      !status && options.engine.verbose) {
    report(status.error(), utf8);
  }
  ::malloc_trim(0);  // loading took several times the memory that watching takes
  report(fmt::format("serving http://{}/metrics", to_string(http->address())), utf8);
  return answer_requests(*fleet, *http, scrapes, *signals, utf8);
}

}  // namespace monitor
