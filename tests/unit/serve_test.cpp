// SPDX-License-Identifier: Apache-2.0
// HTTP for `monitor serve`: which requests it answers and which it rejects, and that slow, silent or hostile clients do
// not affect others. Uses real sockets on the loopback, with limits short enough to wait for.
#include <doctest/doctest.h>

#include <algorithm>
#include <list>
#include <memory>
#include <string>
#include <string_view>

#include "base/event_loop.h"
#include "http/message.h"
#include "http/routes.h"
#include "http/server.h"
#include "http_client.h"
#include "output/prometheus.h"
#include "sinks/exporter.h"
#include "sinks/pages.h"

namespace monitor {
namespace {

using Clock = HttpServer::Clock;
using test::Client;

bool contains(const std::string& text, std::string_view part) {
  return text.find(part) != std::string::npos;
}

HttpResponse echo(const HttpRequest& request) {
  return {.body = request.path + "|" + request.accept + "|\n"};
}

std::string respond(const std::string& head) {
  return respond(head, echo);
}

TEST_CASE("serve.http.GET and HEAD") {
  const std::string get = respond("GET /metrics?a=b HTTP/1.1\r\nHost: x\r\nAccept: text/plain\r\n\r\n");
  CHECK(get.starts_with("HTTP/1.1 200 OK\r\n"));
  CHECK(contains(get, "Connection: close\r\n"));
  CHECK(contains(get, "Content-Length: 21\r\n"));
  CHECK(get.ends_with("\r\n\r\n/metrics|text/plain|\n"));
  const std::string head = respond("HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  CHECK(contains(head, "Content-Length: 11\r\n"));
  CHECK(head.ends_with("\r\n\r\n"));
  CHECK(respond("GET /m HTTP/1.0\r\n\r\n").ends_with("/m||\n"));
}

TEST_CASE("serve.http.what the handler gets") {
  const auto asked = [](const std::string& target, const std::string& fields = "") {
    const std::string answer = respond("GET " + target + " HTTP/1.1\r\nHost: x\r\n" + fields + "\r\n");
    const std::size_t body = answer.find("\r\n\r\n");
    return body == std::string::npos ? "" : answer.substr(body + 4);
  };
  CHECK(asked("http://x:9464/metrics?a") == "/metrics||\n");
  CHECK(asked("http://x") == "/||\n");
  CHECK(asked("/a://b/c") == "/a://b/c||\n");
  CHECK(asked("/%6detrics") == "/%6detrics||\n");
  CHECK(asked("*") == "*||\n");
  CHECK(asked("/", "aCCEPT: a\r\nX: y\r\nAccept:b;q=0.5 \r\n") == "/|a, b;q=0.5|\n");
}

TEST_CASE("serve.http.other methods, and bytes that are not a request") {
  for (const char* method : {"POST", "PUT", "DELETE", "OPTIONS", "PATCH"}) {
    CAPTURE(method);
    const std::string answer =
        respond(std::string(method) + " /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n");
    CHECK(answer.starts_with("HTTP/1.1 405 "));
    CHECK(contains(answer, "Allow: GET, HEAD\r\n"));
  }
  for (const char* bytes :
       {"\r\n\r\n", "x\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/3\r\n\r\n", "GET / HTTP/1.1\r\nHost\r\n\r\n",
        "GET / HTTP/1.1\r\nA : b\r\n\r\n", "GET /a b HTTP/1.1\r\n\r\n", "\x16\x03\x01\r\n\r\n"}) {
    CAPTURE(bytes);
    CHECK(respond(bytes).starts_with("HTTP/1.1 400 "));
  }
  CHECK(respond("GET / HTTP/1.1\r\nHost").starts_with("HTTP/1.1 431 "));
  CHECK(respond("").empty());
}

// A request of a few kilobytes must not cause a response of gigabytes, nor more work than one document.
TEST_CASE("serve.http.no ranges and no encodings") {
  std::string ranges = "Range: bytes=0-";
  while (ranges.size() < 7900) {
    ranges += ",0-";
  }
  const std::string plain = respond("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  for (const std::string& field : {ranges, std::string("Range: bytes=0-1"), std::string("Accept-Encoding: gzip, br"),
                                   "Range: bytes=1-" + ranges, std::string("Expect: 100-continue")}) {
    const std::string answer = respond("GET /metrics HTTP/1.1\r\nHost: x\r\n" + field + "\r\n\r\n");
    CHECK((answer == plain || answer.starts_with("HTTP/1.1 416 ")));
  }
}

class Served {
 public:
  explicit Served(const HttpLimits& limits = {}, HttpHandler handler = echo) {
    auto server = HttpServer::bind(loop_, {"127.0.0.1", 0}, std::move(handler), limits);
    REQUIRE(server);
    REQUIRE((*server)->listen());
    server_ = *std::move(server);
  }

  HttpServer& server() { return *server_; }
  EventLoop& loop() { return loop_; }
  Client& client() { return clients_.emplace_back(*server_); }

  // Lets the server handle everything that is ready.
  void work() { REQUIRE(loop_.wait(Clock::now())); }

  // Lets the server work until the condition is met; reading from the clients is up to `met`.
  template <typename Condition>
  void until(Condition met) {
    const auto deadline = Clock::now() + std::chrono::seconds(30);
    while (!met()) {
      REQUIRE(Clock::now() < deadline);
      REQUIRE(loop_.wait(Clock::now() + std::chrono::milliseconds(10)));
    }
  }

  std::string ask(std::string_view head) {
    Client client(*server_);
    client.send(head);
    until([&] {
      client.receive();
      return client.ended();
    });
    return client.received();
  }

 private:
  EventLoop loop_;
  std::unique_ptr<HttpServer> server_;
  std::list<Client> clients_;
};

constexpr std::string_view kScrape = "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n";
const HttpLimits kShort{.connections = 8,
                        .head_bytes = 8192,
                        .unsent_bytes = 64U << 20,
                        .head = std::chrono::milliseconds(50),
                        .response = std::chrono::milliseconds(50),
                        .close = std::chrono::milliseconds(50)};

TEST_CASE("serve.server.responds and closes") {
  Served served;
  CHECK(served.ask(kScrape).ends_with("/metrics||\n"));
  CHECK(served.ask("GET /a HTTP/1.1\r\n\r\nGET /b HTTP/1.1\r\n\r\n").ends_with("/a||\n"));
  CHECK(served.ask("POST /a HTTP/1.1\r\nContent-Length: 5\r\n\r\nbytes").starts_with("HTTP/1.1 405 "));
  CHECK(served.ask(std::string(9000, 'a')).starts_with("HTTP/1.1 431 "));
  CHECK(served.ask("GET / HTTP/1.1\r\nX: " + std::string(9000, 'a')).starts_with("HTTP/1.1 431 "));
  served.until([&] { return served.server().connections() == 0; });
  CHECK_FALSE(served.loop().next_timer());  // nothing left to wait for
}

TEST_CASE("serve.server.a request that arrives byte by byte") {
  Served served;
  Client& client = served.client();
  for (const char byte : kScrape) {
    client.send({&byte, 1});
    served.work();
  }
  served.until([&] {
    client.receive();
    return client.ended();
  });
  CHECK(client.received().ends_with("/metrics||\n"));
}

TEST_CASE("serve.server.idle clients do not lock others out") {
  Served served;
  for (int i = 0; i < 200; ++i) {
    served.client();
  }
  served.until([&] { return served.server().connections() == 200; });
  CHECK(served.ask(kScrape).ends_with("/metrics||\n"));
  for (int i = 0; i < 200; ++i) {
    served.client().send("GET /metrics HTTP/1.1\r\nX:");
  }
  served.until([&] { return served.server().connections() == 256; });  // the oldest made room
  CHECK(served.ask(kScrape).ends_with("/metrics||\n"));
}

TEST_CASE("serve.server.a silent or slow client is disconnected") {
  Served served(kShort);
  Client& silent = served.client();
  Client& slow = served.client();
  served.until([&] {
    slow.send("x");
    silent.receive();
    slow.receive();
    return silent.ended() && slow.ended();
  });
  CHECK(silent.received().empty());
  served.until([&] { return served.server().connections() == 0; });
}

TEST_CASE("serve.server.a client that reads nothing is disconnected") {
  const std::string large(16 << 20, 'x');  // more than the kernel buffers for a client that does not read
  Served served(kShort, [&large](const HttpRequest&) { return HttpResponse{.body = large}; });
  Client& deaf = served.client();
  deaf.send(kScrape);
  served.until([&] { return served.server().connections() == 1; });
  CHECK(served.ask(kScrape).size() > large.size());
  served.until([&] { return served.server().connections() == 0; });
  // A client that keeps sending after its response is disconnected too.
  Client& chatty = served.client();
  chatty.send(kScrape);
  served.until([&] {
    chatty.receive();
    chatty.send("more");
    return served.server().connections() == 0 && chatty.ended();
  });
}

TEST_CASE("serve.server.clients that read nothing hold a bounded amount of memory") {
  const std::string large(16 << 20, 'x');
  HttpLimits limits;
  limits.unsent_bytes = 3 * large.size();
  Served served(limits, [&large](const HttpRequest&) { return HttpResponse{.body = large}; });
  for (int i = 0; i < 5; ++i) {
    served.client().send(kScrape);
    served.until([&, before = served.server().connections()] {
      served.work();
      return served.server().connections() != before || before == 2;
    });
  }
  served.until([&] { return served.server().connections() == 2; });
  CHECK(served.ask(kScrape).size() > large.size());
}

TEST_CASE("serve.server.an address that is taken or does not exist") {
  Served served;
  const auto taken = HttpServer::bind(served.loop(), {"127.0.0.1", served.server().address().port}, echo);
  REQUIRE_FALSE(taken);
  CHECK(contains(taken.error().what, "listen on 127.0.0.1:"));
  CHECK(contains(taken.error().hint, "another port"));
  for (const char* host : {"192.0.2.1", "nowhere.invalid"}) {
    const auto refused = HttpServer::bind(served.loop(), {host, 0}, echo);
    REQUIRE_FALSE(refused);
    CHECK(contains(refused.error().what, host));
    CHECK_FALSE(refused.error().hint.empty());
  }
}

// ---- what is served ----

struct Fake {
  Result<Sample> next = Sample{};
  int samples = 0;
  Clock::time_point now{};
  Exporter exporter{[this] {
                      ++samples;
                      return next;
                    },
                    ServedBy{"1.2.3", SeriesChoice()}, [this] { return now; }};

  HttpResponse get(const std::string& path, const std::string& accept = "") {
    return Routes(exporter.routes()).answer({path, accept});
  }
};

TEST_CASE("serve.routes.the path picks the handler, and any other path gets the list of paths") {
  const auto named = [](std::string name) {
    return [name = std::move(name)](const HttpRequest&) { return HttpResponse{.body = name}; };
  };
  const Routes two({{"/a", named("first")}, {"/b", named("second")}});
  CHECK(two.answer({"/a", ""}).body == "first");
  CHECK(two.answer({"/b", ""}).body == "second");
  for (const char* path : {"/", "", "/a/", "/A", "/a%", "*"}) {
    CAPTURE(path);
    CHECK(two.answer({path, ""}).status == 404);
    CHECK(two.answer({path, ""}).body == "there are /a and /b\n");
  }
  CHECK(Routes({{"/a", named("")}}).answer({"/", ""}).body == "there are /a\n");
  CHECK(Routes({{"/a", named("")}, {"/b", named("")}, {"/c", named("")}}).answer({"/", ""}).body ==
        "there are /a, /b and /c\n");
}

TEST_CASE("serve.exporter.one sample for all clients that ask at once") {
  Fake fake;
  fake.next = Sample{{Snapshot{}}, false};
  CHECK(contains(fake.get("/metrics").body, "uvicorn_requests_total{target=\"pid:0\"} 0\n"));
  CHECK(contains(fake.get("/metrics").body, "1.2.3"));
  fake.get("/metrics", "application/openmetrics-text");
  for (const Page& page : pages()) {
    CHECK(fake.get(page.path).status == 200);
  }
  CHECK(fake.samples == 1);
  fake.now += Exporter::kFresh;
  fake.next = Sample{{Snapshot{}, Snapshot{}}, false};
  CHECK(contains(fake.get("/metrics").body, "target=\"pid:0#0\""));
  CHECK(fake.samples == 2);
  fake.get("/other");
  fake.now += Exporter::kFresh;
  CHECK(fake.get("/other").status == 404);
  CHECK(fake.get("/other").body.starts_with("there are /metrics"));
  CHECK(fake.samples == 2);
}

TEST_CASE("serve.exporter.health") {
  Fake fake;
  CHECK(fake.get("/healthz").status == 503);
  CHECK(fake.get("/metrics").status == 200);  // having no servers is not a failure
  fake.now += Exporter::kFresh;
  fake.next = Sample{{Snapshot{}}, false};
  CHECK(fake.get("/healthz").status == 200);
  CHECK(fake.get("/healthz").body == "ok\n");
  CHECK_FALSE(fake.exporter.server_ended());
  CHECK_FALSE(fake.exporter.failed());
  fake.next = Sample{{Snapshot{}}, true};
  fake.exporter.refresh();
  CHECK(fake.exporter.server_ended());
  CHECK(fake.get("/healthz").status == 503);
  fake.next = Error{ErrorCode::kNoTarget, "it was detached"};
  fake.exporter.refresh();
  CHECK(fake.exporter.failed()->what == "it was detached");
  CHECK(fake.get("/metrics").status == 503);
  CHECK(fake.get("/metrics").body == "it was detached\n");
  CHECK_FALSE(fake.exporter.server_ended());
}

TEST_CASE("serve.exporter.OpenMetrics only if the client asks for it") {
  constexpr const char* kPrometheus =
      "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,"
      "text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
  for (const char* accept : {kPrometheus, "application/openmetrics-text", "Application/OpenMetrics-Text ; Q=0.5",
                             "text/plain;q=0.5, application/openmetrics-text;q=0.5"}) {
    CAPTURE(accept);
    CHECK(choose_exposition(accept) == Exposition::kOpenMetrics);
  }
  for (const char* accept :
       {"", "*/*", "text/html,*/*;q=0.1", "text/plain", "application/openmetrics-text;q=0",
        "application/openmetrics-text;version=0.0.1", "application/openmetrics-text;q=x",
        "application/openmetrics-text;q=0.1,text/plain", ",,;;,=", ";q", "application/openmetrics-textual"}) {
    CAPTURE(accept);
    CHECK(choose_exposition(accept) == Exposition::kPrometheus);
  }
  Fake fake;
  fake.next = Sample{{Snapshot{}}, false};
  const HttpResponse open_metrics = fake.get("/metrics", kPrometheus);
  CHECK(open_metrics.content_type == "application/openmetrics-text; version=1.0.0; charset=utf-8");
  CHECK(open_metrics.body.ends_with("\n# EOF\n"));
  CHECK(fake.get("/metrics").content_type == "text/plain; version=0.0.4; charset=utf-8");
}

}  // namespace
}  // namespace monitor
