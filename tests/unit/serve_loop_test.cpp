// SPDX-License-Identifier: Apache-2.0
// The loop of `monitor serve` with servers and samples made by the test: what ends it, and the order of the events of
// one wait.
#include "cli/serve_loop.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <unistd.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/signals.h"
#include "http/routes.h"
#include "http/server.h"
#include "http_client.h"
#include "pipe.h"
#include "signal_mask.h"

namespace monitor {
namespace {

using test::Client;
using test::Pipe;

constexpr std::string_view kHealth = "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n";

// Everything that wakes the loop is made ready before it runs, so that one wait finds all of it.
struct Fixture {
  test::SignalMask mask;
  Result<Signals> signals = Signals::block({});
  EventLoop events;
  Pipe server;
  Result<Sample> next = Sample{{Snapshot{}}, false};
  int samples = 0;
  int reports = 0;
  Exporter exporter{[this] {
                      ++samples;
                      return next;
                    },
                    ServedBy{"1.2.3", SeriesChoice()}};
  Routes routes{exporter.routes()};
  std::unique_ptr<HttpServer> http = listen();

  std::unique_ptr<HttpServer> listen() {
    auto bound = HttpServer::bind(events, {"127.0.0.1", 0},
                                  [this](const HttpRequest& request) { return routes.answer(request); });
    REQUIRE(bound);
    REQUIRE((*bound)->listen());
    return *std::move(bound);
  }

  // A client whose connection is accepted, with the head of its request still to come.
  Client accepted() {
    Client client(*http);
    const std::size_t before = http->connections();
    while (http->connections() == before) {
      REQUIRE(events.wait(EventLoop::Clock::now() + std::chrono::milliseconds(10)));
    }
    return client;
  }

  void end_server(bool last) {
    next = last ? Sample{{}, true} : Sample{{Snapshot{}}, false};
    REQUIRE(::write(server.write_end.get(), "x", 1) == 1);
  }

  Result<int> run() {
    REQUIRE(signals);
    const EndedServers ended{[this] { return std::vector{server.read_end.get()}; }, [this] { ++reports; }};
    return run_serve_loop(events, *signals, ended, exporter);
  }
};

}  // namespace

TEST_CASE("serve.loop.a signal to stop comes before the requests of the same wait: they get no response") {
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    CAPTURE(signal);
    Fixture fixture;
    Client accepted = fixture.accepted();
    accepted.send(kHealth);
    Client waiting(*fixture.http);
    waiting.send(kHealth);
    ::raise(signal);
    const Result<int> status = fixture.run();
    REQUIRE(status);
    CHECK(*status == 0);
    CHECK(fixture.samples == 0);
    fixture.http.reset();
    for (Client* const client : {&accepted, &waiting}) {
      client->receive();
      CHECK(client->ended());
      CHECK(client->received().empty());
    }
  }
}

TEST_CASE("serve.loop.a signal to stop comes before the end of the last server: the status is 0") {
  Fixture fixture;
  fixture.end_server(true);
  ::raise(SIGTERM);
  const Result<int> status = fixture.run();
  REQUIRE(status);
  CHECK(*status == 0);
  CHECK(fixture.samples == 0);
  CHECK(fixture.reports == 0);
}

TEST_CASE("serve.loop.the requests of the wait in which the last server ends are answered after it") {
  Fixture fixture;
  Client accepted = fixture.accepted();
  accepted.send(kHealth);
  Client waiting(*fixture.http);
  waiting.send(kHealth);
  fixture.end_server(true);
  const Result<int> status = fixture.run();
  REQUIRE(status);
  CHECK(*status == static_cast<int>(ErrorCode::kNoTarget));
  CHECK(fixture.samples == 1);
  CHECK(fixture.reports == 1);
  for (Client* const client : {&accepted, &waiting}) {
    client->receive();
    CHECK(client->received().starts_with("HTTP/1.1 503 "));
  }
}

TEST_CASE("serve.loop.a sample that fails ends it") {
  Fixture fixture;
  fixture.end_server(false);
  fixture.next = Error{ErrorCode::kNoTarget, "it was detached"};
  const Result<int> status = fixture.run();
  REQUIRE_FALSE(status);
  CHECK(status.error().what == "it was detached");
  CHECK(fixture.reports == 1);
}

TEST_CASE("serve.loop.it continues while a server is left") {
  Fixture fixture;
  fixture.end_server(false);
  auto stop = fixture.events.timer([] {
    ::raise(SIGTERM);
    return Ok{};
  });
  stop.set(EventLoop::Clock::now());
  const Result<int> status = fixture.run();
  REQUIRE(status);
  CHECK(*status == 0);
  CHECK(fixture.samples == 1);
  CHECK(fixture.reports == 1);
}

}  // namespace monitor
