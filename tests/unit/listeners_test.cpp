// SPDX-License-Identifier: Apache-2.0
// What the listeners of a server are for, by what is known of them, and the views that a choice of listeners makes.
#include "model/listeners.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "host/listener_hints.h"
#include "model/snapshot.h"

namespace monitor {
namespace {

using namespace std::string_literals;

ListenerSample sample(unsigned number, const std::string& address, std::uint16_t port, std::vector<pid_t> holders) {
  ListenerSample made;
  made.number = number;
  made.address = address;
  made.port = port;
  made.holders = std::move(holders);
  return made;
}

// The address of the main listener, whatever the order of the samples.
std::string main_of(std::vector<ListenerSample> samples, const std::vector<unsigned>& http,
                    const ListenerHints& hints) {
  const std::string found = samples.at(main_listener(samples, http, hints)).address;
  std::reverse(samples.begin(), samples.end());
  CHECK(samples.at(main_listener(samples, http, hints)).address == found);
  return found;
}

TEST_CASE("listeners.the_main_one_is_chosen_by_the_strongest_evidence") {
  ListenerHints hints;
  hints.root = 1;
  const ListenerSample app = sample(1, "127.0.0.1:40000", 40000, {1, 2});
  const ListenerSample metrics = sample(2, "127.0.0.1:9000", 9000, {1});
  const ListenerSample child = sample(3, "0.0.0.0:8000", 8000, {5});
  CHECK(main_of({app, metrics, child}, {}, hints) == "127.0.0.1:9000");  // the root holds it, and it is not ephemeral
  CHECK(main_of({app, metrics, child}, {1}, hints) == "127.0.0.1:40000");
  CHECK(main_of({app, metrics, child}, {1, 2}, hints) == "127.0.0.1:9000");
  CHECK(main_of({app, metrics, child}, {3}, hints) == "127.0.0.1:9000");  // a child's
  hints.ports = {40000};
  CHECK(main_of({app, metrics, child}, {2, 3}, hints) == "127.0.0.1:40000");
  hints.root = 9;  // holds none of them
  hints.ports = {};
  CHECK(main_of({app, metrics, child}, {}, hints) == "0.0.0.0:8000");
  CHECK(main_of({sample(1, "127.0.0.1:81", 81, {1}), sample(2, "0.0.0.0:82", 82, {1})}, {}, hints) == "0.0.0.0:82");
  const ListenerSample internal = sample(4, "unix:/tmp/pymp-x/listener-y", 0, {9});
  CHECK(main_of({internal, app}, {}, hints) == "127.0.0.1:40000");  // multiprocessing's, though the root holds it
  const ListenerSample control = sample(5, "unix:/root/.gunicorn/gunicorn.ctl", 0, {9});
  const ListenerSample socket = sample(6, "unix:/run/a.sock", 0, {2});
  CHECK(main_of({control, socket}, {}, hints) == "unix:/run/a.sock");
  hints.unix_paths = {"./b.sock"};  // the server may make it absolute
  CHECK(main_of({sample(7, "unix:/home/b.sock", 0, {1}), socket, child}, {3, 6}, hints) == "unix:/home/b.sock");
  hints.unix_paths = {};
  CHECK(main_listener({}, {}, hints) == 0);
  CHECK(main_address({app, child}, {}, hints) == "0.0.0.0:8000");
  ListenerCounters spoke;
  spoke.number = 1;
  CHECK(main_address({app, child}, {spoke}, hints) == "0.0.0.0:8000");
  spoke.http = true;
  CHECK(main_address({app, child}, {spoke}, hints) == "127.0.0.1:40000");
  CHECK(main_address({}, {spoke}, hints).empty());
}

// A service on an ephemeral port keeps its name when a restart gives another listener a lower port, or when that one
// gets its first request.
TEST_CASE("listeners.the_one_so_far_stays_among_ephemeral_ports") {
  ListenerHints hints;
  hints.root = 1;
  const ListenerSample app = sample(1, "127.0.0.1:41000", 41000, {1});
  const ListenerSample other = sample(2, "127.0.0.1:40000", 40000, {1});
  const ListenerSample everywhere = sample(3, "0.0.0.0:40500", 40500, {1});
  const ListenerSample fixed = sample(4, "127.0.0.1:9000", 9000, {1});
  const auto main_of = [&hints](const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http) {
    return samples.at(main_listener(samples, http, hints, 1)).number;
  };
  CHECK(main_of({app, other, everywhere}, {}) == 1);
  CHECK(main_of({app, other, everywhere}, {1, 2, 3}) == 1);
  CHECK(main_of({app, other}, {2}) == 2);  // the one that serves
  CHECK(main_of({app, fixed}, {1, 4}) == 4);
  CHECK(main_of({other, everywhere}, {}) == 3);
  CHECK(main_listener({other, app}, {}, hints, 0) == 0);
}

TEST_CASE("listeners.roles") {
  ListenerHints hints;
  hints.root = 1;
  hints.http = true;
  const ListenerSample app = sample(1, "127.0.0.1:8000", 8000, {1, 2});
  const ListenerSample of_worker = sample(2, "127.0.0.1:9000", 9000, {2});
  const ListenerSample of_child = sample(3, "127.0.0.1:9001", 9001, {5});
  using Roles = std::vector<ListenerRole>;
  CHECK(judge_listeners({app}, {}, hints) == Roles{{true, false}});
  CHECK(judge_listeners({app, of_child}, {}, hints) == Roles{{true, false}, {false, true}});
  CHECK(judge_listeners({app, of_worker}, {}, hints) == Roles{{false, false}, {false, false}});
  const ListenerSample too = sample(4, "[::]:8000", 8000, {1});
  const ListenerSample unix_socket = sample(5, "unix:/run/a.sock", 0, {1});
  CHECK(judge_listeners({app, too, unix_socket}, {}, hints) == Roles{{true, false}, {true, false}, {false, false}});
  hints.paths = {"/run/a.sock"};
  CHECK(judge_listeners({app, too, unix_socket}, {}, hints) == Roles{{true, false}, {true, false}, {true, false}});
  hints.ports = {8000};
  CHECK(judge_listeners({app, of_worker}, {}, hints) == Roles{{true, false}, {false, false}});
  CHECK(judge_listeners({of_child}, {}, hints) == Roles{{true, false}});  // whoever holds the only one
  CHECK(judge_listeners({}, {}, hints).empty());
  hints.http = false;  // nothing shows that it serves HTTP
  CHECK(judge_listeners({app}, {}, hints) == Roles{{false, false}});
  CHECK(judge_listeners({app, of_child}, {}, hints) == Roles{{false, false}, {false, true}});
}

TEST_CASE("listeners.protocol_by_what_the_server_sends_first") {
  ListenerCounters listener;
  CHECK(protocol_name(listener).empty());
  listener.foreign = true;
  for (const auto& [bytes, protocol] : {std::pair{"+OK\r\n\0\0\0"s, "redis"},
                                        std::pair{"$5\r\nhell"s, "redis"},
                                        std::pair{"\x16\x03\x03\0z\2\0\0"s, "tls"},
                                        std::pair{"\xff\0\0\0\0\0\0\0"s, "zeromq"},
                                        std::pair{"\0\0\x12\4\0\0\0\0"s, "http2"},
                                        std::pair{"SSH-2.0-"s, "ssh"},
                                        std::pair{"220 mail"s, "smtp"},
                                        std::pair{"+OK POP3"s, "pop3"},
                                        std::pair{"* OK IMA"s, "imap"},
                                        std::pair{"*1\r\n$2\r\n"s, "redis"},
                                        std::pair{"RTSP/1.0"s, "rtsp"},
                                        std::pair{"SIP/2.0 "s, "sip"},
                                        std::pair{"-ERR wro"s, "redis"},
                                        std::pair{"* CAPABI"s, "imap"},
                                        std::pair{"$-1\r\n\0\0\0"s, "redis"},
                                        std::pair{"+ more\r\n"s, "unknown"},
                                        std::pair{"$ ls -l "s, "unknown"},
                                        std::pair{"Content-"s, "json-rpc"},
                                        std::pair{"hello\0\0\0"s, "unknown"},
                                        std::pair{""s, "unknown"}}) {
    listener.first_bytes = bytes;
    CHECK(protocol_name(listener) == protocol);
  }
  listener.http = true;
  CHECK(protocol_name(listener) == "http");
}

ListenerHints hints_of(const std::vector<std::string>& arguments) {
  return read_listener_hints(1, arguments);
}

TEST_CASE("listeners.hints_of_the_command_line") {
  using Ports = std::vector<std::uint16_t>;
  CHECK(hints_of({"/usr/bin/python3", "/usr/bin/uvicorn", "app:app"}).ports == Ports{8000});
  CHECK(hints_of({"uvicorn", "app:app"}).keep_alive_ms == 6000);
  CHECK(hints_of({"uvicorn", "app:app", "--port", "9000"}).ports == Ports{9000});
  CHECK(hints_of({"uvicorn", "app:app", "--port=9000", "--timeout-keep-alive=60"}).ports == Ports{9000});
  CHECK(hints_of({"uvicorn", "app:app", "--timeout-keep-alive=60"}).keep_alive_ms == 61000);
  CHECK(hints_of({"uvicorn", "app:app", "--timeout-keep-alive", "0"}).keep_alive_ms == 0);
  CHECK(hints_of({"uvicorn", "app:app", "--timeout-keep-alive", "1e99"}).keep_alive_ms == 0);
  CHECK(hints_of({"uvicorn", "app:app", "--timeout-keep-alive"}).keep_alive_ms == 6000);
  CHECK(hints_of({"uvicorn", "app:app", "--port", "0"}).ports == Ports{8000});
  CHECK(hints_of({"uvicorn", "app:app", "--port", "70000"}).ports == Ports{8000});
  CHECK(hints_of({"uvicorn", "app:app", "--uds", "/run/a.sock"}).unix_paths == std::vector<std::string>{"/run/a.sock"});
  CHECK(hints_of({"uvicorn", "app:app", "--uds", "/run/a.sock"}).ports.empty());
  CHECK(hints_of({"gunicorn", "-b", "0.0.0.0:9000", "--bind=[::]:9001", "app"}).ports == Ports{9000, 9001});
  CHECK(hints_of({"gunicorn", "-b0.0.0.0:9000", "app"}).ports == Ports{9000});
  CHECK(hints_of({"gunicorn", "-b", "unix:a.sock", "app"}).unix_paths == std::vector<std::string>{"a.sock"});
  CHECK(hints_of({"gunicorn", "app"}).keep_alive_ms == 3000);
  CHECK(hints_of({"hypercorn", "--bind", "localhost:9000", "app"}).ports == Ports{9000});
  CHECK(hints_of({"granian", "app"}).keep_alive_ms == 31000);
  CHECK(hints_of({"hypercorn", "app"}).keep_alive_ms == 6000);
  CHECK(hints_of({"daphne", "app"}).keep_alive_ms == 61000);
  CHECK(hints_of({"waitress-serve", "app"}).keep_alive_ms == 0);  // not in the table
  CHECK(hints_of({"daphne", "-p", "9000", "app"}).ports == Ports{9000});
  CHECK(hints_of({"python3", "main.py", "9000", "9001"}).ports.empty());
  CHECK(hints_of({"python3", "main.py"}).keep_alive_ms == 0);  // its code decides
  CHECK(hints_of({"python3", "main.py", "--port", "9000"}).ports == Ports{9000});
  CHECK(hints_of({}).ports.empty());
}

ListenerSnapshot listener(const std::string& address, std::uint64_t active, std::uint64_t total) {
  ListenerSnapshot made;
  made.address = address;
  made.active = active;
  made.peak = active + 1;
  made.total = total;
  made.undercount = {{"gap", total}};
  EndpointCounters endpoint;
  endpoint.method = "GET";
  endpoint.path = "/";
  endpoint.active = active;
  endpoint.completed = total;
  made.endpoints = {endpoint};
  return made;
}

TEST_CASE("listeners.views_of_a_choice") {
  Snapshot snapshot;
  snapshot.address = "127.0.0.1:80";
  snapshot.active = 3;
  snapshot.listeners = {listener("127.0.0.1:80", 1, 10), listener("127.0.0.1:81", 2, 20),
                        listener("unix:/a:81", 4, 40)};
  CHECK(choose_listeners(snapshot, {}).at(0).active == 3);
  const std::vector<Snapshot> of_port = choose_listeners(snapshot, {{81}, {}, false});
  REQUIRE(of_port.size() == 1);
  CHECK(of_port[0].active == 2);
  CHECK(of_port[0].peak == 3);
  CHECK(of_port[0].total == 20);
  CHECK(of_port[0].undercount.at("gap") == 20);
  CHECK(of_port[0].endpoints.at(0).completed == 20);
  CHECK(of_port[0].listener == "127.0.0.1:81");
  CHECK(of_port[0].address == "127.0.0.1:80");  // the server keeps its name
  CHECK(of_port[0].system);
  const std::vector<Snapshot> both = choose_listeners(snapshot, {{80}, {"unix:/a:81"}, false});
  REQUIRE(both.size() == 1);
  CHECK(both[0].active == 5);
  CHECK(both[0].peak == 5);
  CHECK(both[0].endpoints.size() == 1);
  CHECK(both[0].endpoints[0].completed == 50);
  const std::vector<Snapshot> each = choose_listeners(snapshot, {{}, {}, true});
  REQUIRE(each.size() == 3);
  CHECK(each[2].total == 40);
  CHECK(!each[2].system);
  CHECK(choose_listeners(snapshot, {{82}, {}, false}).empty());
}

// A listener in the kernel's counters and in its list of sockets, with one request from before the attach.
Counters before_attach(ListenerCounters listener) {
  Counters counters;
  listener.number = 1;
  EndpointCounters endpoint;
  endpoint.listener = 1;
  endpoint.path = "(before attach)";
  endpoint.active = 1;
  counters.endpoints = {endpoint};
  counters.active = listener.active;
  counters.peak = listener.active;
  counters.listeners = {std::move(listener)};
  return counters;
}

TEST_CASE("listeners.requests_before_the_attach_count_where_http_is_spoken") {
  ListenerCounters unknown;
  unknown.unproven = 1;
  const Snapshot hidden = make_snapshot(before_attach(unknown), {}, {}, {});
  CHECK(hidden.active == 0);
  CHECK(hidden.unproven == 1);
  CHECK(hidden.endpoints.empty());
  unknown.foreign = true;
  CHECK(make_snapshot(before_attach(unknown), {}, {}, {}).unproven == 0);
  unknown.http = true;
  const Snapshot proven = make_snapshot(before_attach(unknown), {}, {}, {});
  CHECK(proven.active == 1);
  CHECK(proven.unproven == 0);
  CHECK(proven.peak == 1);
  CHECK(proven.endpoints.at(0).active == 1);
  ListenerCounters presumed;
  presumed.presumed = true;
  presumed.active = 1;
  CHECK(make_snapshot(before_attach(presumed), {}, {}, {}).active == 1);
  presumed.foreign = true;  // it showed something else than HTTP
  const Snapshot retracted = make_snapshot(before_attach(presumed), {}, {}, {});
  CHECK(retracted.active == 0);
  CHECK(retracted.endpoints.empty());
}

TEST_CASE("listeners.what_passes_in_another_protocol_was_never_in_flight") {
  ListenerCounters other;
  other.number = 1;
  other.foreign = true;
  other.active = 2;
  other.peak = 5;
  EndpointCounters taken;  // for a request, so far
  taken.listener = 1;
  taken.method = "SOURCE";
  taken.path = "/mount";
  taken.active = 2;
  taken.peak = 5;
  Counters counters;
  counters.active = 2;
  counters.peak = 5;
  counters.listeners = {other};
  counters.endpoints = {taken};
  const Snapshot alone = make_snapshot(counters, {}, {}, {});
  CHECK(alone.active == 0);
  CHECK(alone.peak == 0);
  for (const EndpointCounters& endpoint : alone.endpoints) {
    CHECK(endpoint.active + endpoint.peak == 0);
  }
  ListenerCounters http;
  http.number = 2;
  http.http = true;
  http.active = 1;
  http.peak = 3;
  counters.listeners.push_back(http);
  counters.active = 3;
  counters.peak = 6;
  const Snapshot beside = make_snapshot(counters, {}, {}, {});
  CHECK(beside.active == 1);
  CHECK(beside.peak == 3);
}

}  // namespace
}  // namespace monitor
