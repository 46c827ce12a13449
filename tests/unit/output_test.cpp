// SPDX-License-Identifier: Apache-2.0
// Compares the outputs with the files in golden/, and the JSON with its schema.
#include <doctest/doctest.h>

#include <cmath>
#include <cstdint>
#include <limits>
#include <nlohmann/json.hpp>
#include <set>

#include "monitor/abi.h"
#include "output/columns.h"
#include "output/endpoints.h"
#include "output/listed.h"
#include "output/render.h"
#include "output/text.h"
#include "unit/example_snapshot.h"

namespace monitor {
namespace {

using Json = nlohmann::ordered_json;
using test::endpoint;
using test::example_snapshot;

constexpr std::uint64_t kMost = std::numeric_limits<std::uint64_t>::max();
constexpr double kInfinity = std::numeric_limits<double>::infinity();

std::string replace_all(std::string text, std::string_view from, std::string_view to) {
  for (std::size_t at = text.find(from); at != std::string::npos; at = text.find(from, at + to.size())) {
    text.replace(at, from.size(), to);
  }
  return text;
}

std::vector<std::string> lines_of(const std::string& text) {
  std::vector<std::string> lines;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    lines.push_back(line);
  }
  return lines;
}

std::string log_text(const Snapshot& snapshot) {
  std::string text;
  for (const std::string& line : render_log_lines(snapshot)) {
    text += line;
  }
  return text;
}

Snapshot with_path(const std::string& path) {
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("GET", path, 3)};
  return snapshot;
}

// The line of the box that shows the only endpoint.
std::string endpoint_line(const Snapshot& snapshot, bool unicode = true) {
  const std::vector<std::string> lines = lines_of(render_box(snapshot, {.color = false, .unicode = unicode}));
  REQUIRE(lines.size() == 15);
  return lines[10];
}

std::string repeat(std::string_view text, std::size_t times) {
  std::string repeated;
  for (std::size_t i = 0; i < times; ++i) {
    repeated += text;
  }
  return repeated;
}

Snapshot troubled_snapshot() {
  Snapshot snapshot = example_snapshot();
  snapshot.failed = 7;
  snapshot.endpoints[1].failed = 7;
  snapshot.endpoints[1].status = {3, 0, 108, 0, 2, 7};
  snapshot.endpoints[1].durations = test::durations_by_status();
  snapshot.undercount = {{"gap", 1}, {"memory", 0}, {"tls", 2}};
  return snapshot;
}

// The largest values everywhere.
Snapshot greatest_snapshot() {
  Snapshot snapshot = troubled_snapshot();
  for (std::uint64_t* figure :
       {&snapshot.active, &snapshot.peak, &snapshot.total, &snapshot.failed, &snapshot.aborted, &snapshot.refused,
        &snapshot.rejected, &snapshot.queue_depth, &snapshot.open_connections, &snapshot.peak_connections,
        &snapshot.memory_bytes, &snapshot.undercount["gap"], &snapshot.endpoints[1].active}) {
    *figure = kMost;
  }
  snapshot.threads = std::numeric_limits<unsigned>::max();
  return snapshot;
}

// Keys that --no-system hides.
const std::set<std::string> kSystem = {"cpu_percent", "memory_mb", "threads"};

// Checks that the object has exactly the properties that the schema names, recursively.
void check_documented(const Json& value, const Json& schema, const std::string& where) {
  CAPTURE(where);
  if (value.is_array()) {
    for (const Json& element : value) {
      check_documented(element, schema.at("items"), where + "[]");
    }
  }
  if (!value.is_object()) {
    CHECK_MESSAGE(schema.contains("description"), "no description");
    return;
  }
  CHECK(schema.at("additionalProperties") == false);
  std::set<std::string> required;
  if (schema.contains("required")) {
    required = schema.at("required").get<std::set<std::string>>();
  }
  for (const std::string& key : required) {
    CHECK_MESSAGE(value.contains(key), "missing: ", key);
  }
  for (const auto& member : value.items()) {
    const std::string& key = member.key();
    REQUIRE_MESSAGE(schema.at("properties").contains(key), "not in the schema: ", key);
    CHECK_MESSAGE((required.empty() || required.contains(key) || kSystem.contains(key)), "not required: ", key);
    check_documented(member.value(), schema.at("properties").at(key), where + "." + key);
  }
}

TEST_CASE("output.box.matches_the_golden_file") {
  CHECK_GOLDEN(render_box(example_snapshot(), {}), "box.txt");
  CHECK_GOLDEN(render_box(example_snapshot(), {.color = false, .unicode = false}), "box_ascii.txt");
}

TEST_CASE("output.box.says_how_many_open_connections_may_be_requests") {
  Snapshot snapshot;
  snapshot.open_connections = 15;
  snapshot.unproven = 5;
  const std::vector<std::string> lines = lines_of(render_box(snapshot, {.color = false, .unicode = false}));
  CHECK(std::find(lines.begin(), lines.end(), "|  Open Connections:   15 (5 unproven)") != lines.end());
}

TEST_CASE("output.box.several_servers_have_a_box_each") {
  Snapshot other = example_snapshot();
  other.pid = 7;
  other.listen = {"127.0.0.1:80", "unix:/run/a.sock"};
  other.title = std::string("evil\n") + std::string(100, 'x');
  const std::string both = render_boxes({example_snapshot(), other}, {});
  const std::vector<std::string> lines = lines_of(both);
  CHECK(lines.front().starts_with("pid " + std::to_string(example_snapshot().pid) + " on "));
  CHECK(both.find("\n\npid 7 on 127.0.0.1:80 and 1 more: evil\\x0axx") != std::string::npos);
  CHECK(both.find("x…\n╔") != std::string::npos);
  CHECK(render_boxes({other}, {}) == lines_of(both.substr(both.find("pid 7 "))).front() + "\n" + render_box(other, {}));
  CHECK(render_boxes({}, {}).empty());
}

TEST_CASE("output.box.heading_names_the_program_whatever_else_there_is") {
  Snapshot snapshot = example_snapshot();
  snapshot.pid = 42;
  snapshot.title = "main.py 8000";
  snapshot.listen = {"127.0.0.1:8000"};
  const auto heading = [&] { return lines_of(render_boxes({snapshot}, {.color = false, .unicode = false})).front(); };
  CHECK(heading() == "pid 42 on 127.0.0.1:8000: main.py 8000");
  snapshot.listen = {"127.0.0.1:41234", "127.0.0.1:41235", "127.0.0.1:8000"};
  CHECK(heading() == "pid 42 on 127.0.0.1:41234 and 2 more: main.py 8000");
  snapshot.address = "127.0.0.1:8000";  // names the server
  snapshot.listeners.emplace_back().address = "127.0.0.1:41234";
  snapshot.listeners.back().apart = true;  // a child's
  CHECK(heading() == "pid 42 on 127.0.0.1:8000, 127.0.0.1:41235: main.py 8000");
  snapshot.listeners.clear();
  snapshot.listen = {"unix:/run/" + std::string(200, 'a') + "/s.sock"};
  snapshot.title = "uvicorn " + std::string(100, 'b') + ":app";
  CHECK(heading().starts_with("pid 42 on unix:/run"));
  CHECK(heading().find(".sock: uvicorn bbb") != std::string::npos);
  CHECK(heading().size() == 58);
}

TEST_CASE("output.box.says_what_was_guessed_and_passed_over") {
  Snapshot snapshot = example_snapshot();
  snapshot.evidence = Evidence::kListens;
  snapshot.passed_over = {"pid 1 on a:1: x\x1b[2J", "pid 2", "pid 3", "pid 4", "pid 5"};
  const std::vector<std::string> lines = lines_of(render_boxes({snapshot}, {}));
  CHECK(lines.at(1) == "a guess: a Python that listens");
  CHECK(lines.at(2) == "passed over: pid 1 on a:1: x\\x1b[2J");
  CHECK(lines.at(4) == "passed over: pid 3");
  CHECK(lines.at(5) == "passed over: 2 more; monitor ls lists them");
  CHECK(lines.at(6).starts_with("╔"));
}

TEST_CASE("output.listed.text_and_json") {
  const ListedServer certain{.pid = 42,
                             .kind = "uvicorn",
                             .evidence = Evidence::kCommand,
                             .program = "uvicorn",
                             .application = "app:app",
                             .title = "uvicorn app:app",
                             .command = "python uvicorn app:app",
                             .listen = {"127.0.0.1:80", "[::1]:80"},
                             .listeners = {{"127.0.0.1:80", true, "http"}, {"[::1]:80", false, ""}},
                             .workers = 2,
                             .uptime_seconds = 61,
                             .attached = true};
  const ListedServer guess{.pid = 7,
                           .kind = "python",
                           .evidence = Evidence::kListens,
                           .program = "m\n.py",
                           .application = "",
                           .title = "m\n.py",
                           .command = "python m\n.py",
                           .listen = {"unix:/x"},
                           .listeners = {{"unix:/x", std::nullopt, ""}},
                           .workers = 1,
                           .uptime_seconds = 5.5,
                           .attached = std::nullopt};
  CHECK(render_listed({}) == "No HTTP server in Python was found.\n");
  CHECK(render_listed({certain, guess}) ==
        "pid 42 on 127.0.0.1:80, [::1]:80: uvicorn app:app\n"
        "    uvicorn, by its command line; 2 workers; up 1m 1s; attached\n"
        "    http on 127.0.0.1:80; nothing yet on [::1]:80\n"
        "pid 7 on unix:/x: m\\x0a.py\n"
        "    a guess: a Python that listens; 1 worker; up 5s\n"
        "    protocols unknown: the attached engine cannot be read\n");
  const Json listed = Json::parse(render_listed_json({certain, guess}));
  check_documented(listed, Json::parse(test::read_source_file("docs/schema/ls.schema.json")), "$");
  CHECK(listed["servers"][0]["application"] == "app:app");
  CHECK(listed["servers"][0]["attached"] == true);
  CHECK(listed["servers"][1]["application"].is_null());
  CHECK(listed["servers"][1]["attached"].is_null());
  CHECK(listed["servers"][1]["guess"] == true);
  CHECK(listed["servers"][0]["listen"] == Json({"127.0.0.1:80", "[::1]:80"}));
  CHECK(listed["servers"][0]["listeners"][0] ==
        Json({{"address", "127.0.0.1:80"}, {"http", true}, {"protocol", "http"}}));
  CHECK(listed["servers"][0]["listeners"][1]["http"] == false);
  CHECK(listed["servers"][0]["listeners"][1]["protocol"].is_null());
  CHECK(listed["servers"][1]["listeners"][0]["http"].is_null());  // unknown is not "no"
}

TEST_CASE("output.listed.protocols_by_listener") {
  ListedServer server;
  server.kind = "uvicorn";
  server.evidence = Evidence::kCommand;
  server.listeners = {{"a:1", true, "http"},
                      {"a:2", false, "redis"},
                      {"a:3", false, "unknown"},
                      {"a:4", true, "http"},
                      {"\x1b", std::nullopt, ""}};
  server.attached = false;
  CHECK(render_listed({server}).ends_with("\n    protocols unknown: not attached\n"));
  server.attached = true;
  CHECK(render_listed({server}).ends_with(
      "; attached\n    http on a:1, a:4; redis on a:2; not HTTP on a:3; unknown on \\x1b\n"));
}

TEST_CASE("output.box.nothing_in_flight") {
  CHECK_GOLDEN(render_box(Snapshot{}, {}), "box_empty.txt");
}

TEST_CASE("output.box.color_changes_nothing_else") {
  const std::string colored = render_box(troubled_snapshot(), {.color = true});
  CHECK_GOLDEN(replace_all(colored, "\033", "<ESC>"), "box_color.txt");
  std::string plain = colored;
  for (const char* code : {"\033[0m", "\033[1m", "\033[31m", "\033[33m"}) {
    plain = replace_all(plain, code, "");
  }
  CHECK(plain == render_box(troubled_snapshot(), {}));
}

TEST_CASE("output.box.sums_methods_and_sorts_by_requests_in_flight") {
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("GET", "/a", 2), endpoint("GET", "/b", 5), endpoint("POST", "/a", 4),
                        endpoint("GET", "/idle", 0), endpoint("GET", "/c", 5)};
  const std::vector<ActivePath> paths = active_paths(snapshot);
  REQUIRE(paths.size() == 3);
  CHECK(paths[0].path == "/a");
  CHECK(paths[0].active == 6);
  CHECK(paths[1].path == "/b");
  CHECK(paths[2].path == "/c");
}

TEST_CASE("output.box.two_thousand_endpoints_are_bounded") {
  Snapshot snapshot;
  for (unsigned i = 0; i < 2000; ++i) {
    snapshot.endpoints.push_back(endpoint("GET", "/" + std::to_string(i), i + 1));
  }
  const std::vector<std::string> lines = lines_of(render_box(snapshot, {}));
  CHECK(lines.size() == 14 + 20 + 1);
  CHECK(lines[10] == "║    • /1999: 2000");
  CHECK(lines[29] == "║    • /1980: 1981");
  CHECK(lines[30] == "║    … and 1980 more");
}

TEST_CASE("output.box.long_paths_lose_their_middle") {
  CHECK(endpoint_line(with_path("/" + std::string(48, 'a'))) ==
        "║    • /" + std::string(22, 'a') + "…" + std::string(24, 'a') + ": 3");
  CHECK(endpoint_line(with_path("/" + std::string(47, 'a'))) == "║    • /" + std::string(47, 'a') + ": 3");
  CHECK(endpoint_line(with_path("/v1/" + std::string(100000, 'a') + "/end")) ==
        "║    • /v1/" + std::string(19, 'a') + "…" + std::string(20, 'a') + "/end: 3");
  CHECK(endpoint_line(with_path("/v1/" + std::string(100, 'a') + "/end"), false) ==
        "|    * /v1/" + std::string(17, 'a') + "..." + std::string(20, 'a') + "/end: 3");
}

TEST_CASE("output.box.wide_characters_take_two_columns") {
  CHECK(endpoint_line(with_path("/" + repeat("中", 100))) ==
        "║    • /" + repeat("中", 11) + "…" + repeat("中", 12) + ": 3");
  // If one column of a character does not fit, the whole character is left out.
  CHECK(endpoint_line(with_path(repeat("😀", 100))) == "║    • " + repeat("😀", 11) + "…" + repeat("😀", 12) + ": 3");
  CHECK(endpoint_line(with_path("/" + repeat("中", 23))) == "║    • /" + repeat("中", 23) + ": 3");
  CHECK(endpoint_line(with_path("/中"), false) == "|    * /\\xe4\\xb8\\xad: 3");
}

TEST_CASE("output.box.escapes_are_never_cut") {
  // 47 columns of room beside the ellipsis: 23 before it and 24 after, each a whole number of escapes or less.
  CHECK(endpoint_line(with_path("/" + std::string(100, '\1'))) ==
        "║    • /" + repeat("\\x01", 5) + "…" + repeat("\\x01", 6) + ": 3");
  CHECK(endpoint_line(with_path(std::string(100, '\\'))) ==
        "║    • " + repeat("\\\\", 11) + "…" + repeat("\\\\", 12) + ": 3");
}

TEST_CASE("output.box.no_line_is_wider_than_58_columns") {
  for (const bool unicode : {true, false}) {
    for (const std::string& line : lines_of(render_box(greatest_snapshot(), {.color = false, .unicode = unicode}))) {
      CAPTURE(line);
      CHECK(text_columns(line) <= 58);
    }
  }
}

TEST_CASE("output.without_system") {
  Snapshot snapshot = example_snapshot();
  snapshot.system = false;
  CHECK(render_box(snapshot, {}).find("CPU") == std::string::npos);
  CHECK(lines_of(render_box(snapshot, {})).size() == lines_of(render_box(example_snapshot(), {})).size() - 3);
  CHECK(render_log_lines(snapshot).size() == 2);
  const Json object = Json::parse(render_json(snapshot));
  for (const std::string& key : kSystem) {
    CHECK_FALSE(object.contains(key));
    CHECK_FALSE(object.at("workers").at(0).contains(key));
  }
  Json whole = Json::parse(render_json(example_snapshot()));
  for (const std::string& key : kSystem) {
    whole.erase(key);
    for (Json& worker : whole.at("workers")) {
      worker.erase(key);
    }
  }
  CHECK(object == whole);
}

TEST_CASE("output.log.matches_the_golden_file") {
  CHECK_GOLDEN(log_text(example_snapshot()), "log_lines.txt");
  CHECK(render_log_lines(example_snapshot()).size() == 3);
}

TEST_CASE("output.latency.lines_of_their_own") {
  CHECK_GOLDEN(render_box(example_snapshot(), {.latency = true}), "box_latency.txt");
  const std::vector<std::string> lines = render_log_lines(example_snapshot(), true);
  REQUIRE(lines.size() == 4);
  CHECK(lines[3] ==
        "[LATENCY] Queue Wait: <0.1/105/105 ms (n 100) | First Byte: 105/105/105 ms (n 100) | "
        "Duration: 105/105/1049 ms (n 100)\n");
  Snapshot few = example_snapshot();
  few.recent = {{}, test::latency({{0, 19}}, 0.0001, 0), test::latency({{1, 1}, {61, 1}}, 0.012, 0.012)};
  CHECK(render_log_lines(few, true)[3] ==
        "[LATENCY] Queue Wait: none | First Byte: n<20, max <0.1 ms | Duration: n<20, max 12.0 ms\n");
}

TEST_CASE("output.log.nothing_in_flight") {
  CHECK(log_text(Snapshot{}) ==
        "[CONCURRENCY] Active: 0/0 | Total: 0 | Failed: 0 | Queue: 0 | Uptime: 0s\n"
        "[ENDPOINTS] none\n"
        "[SYSTEM] CPU: 0.0% | Memory: 0.0MB | Threads: 0\n");
}

TEST_CASE("output.text.uptime") {
  CHECK(format_uptime(0) == "0s");
  CHECK(format_uptime(59.999) == "59s");
  CHECK(format_uptime(60) == "1m 0s");
  CHECK(format_uptime(3600) == "1h 0m 0s");
  CHECK(format_uptime(5025) == "1h 23m 45s");
  CHECK(format_uptime(2 * 86400 + 5025) == "2d 1h 23m 45s");
  CHECK(format_uptime(86400) == "1d 0h 0m 0s");
  CHECK(format_uptime(-5) == "0s");
  CHECK(format_uptime(std::nan("")) == "0s");
  CHECK(format_uptime(-kInfinity) == "0s");
  CHECK(format_uptime(kInfinity) == format_uptime(1e300));
}

TEST_CASE("output.figures.impossible_values_are_shown_as_0") {
  for (const double value : {std::nan(""), kInfinity, -kInfinity, -1.0, -0.0}) {
    CAPTURE(value);
    Snapshot snapshot = example_snapshot();
    snapshot.cpu_percent = value;
    snapshot.uptime_seconds = value;
    snapshot.workers[0].cpu_percent = value;
    CHECK(render_box(snapshot, {}).find("CPU: 0.0%") != std::string::npos);
    CHECK(log_text(snapshot).find("CPU: 0.0%") != std::string::npos);
    const std::string text = render_json(snapshot);
    CHECK(text.find("-0") == std::string::npos);
    const Json object = Json::parse(text);
    CHECK(object["cpu_percent"] == 0.0);
    CHECK(object["workers"][0]["cpu_percent"] == 0.0);
  }
  Snapshot snapshot;
  snapshot.cpu_percent = std::numeric_limits<double>::max();
  CHECK(Json::parse(render_json(snapshot))["cpu_percent"].is_number());
  CHECK(log_text(snapshot).size() < 200);
}

TEST_CASE("output.json.matches_the_golden_file") {
  const std::string text = render_json(troubled_snapshot());
  CHECK(text.find('\n') == std::string::npos);
  CHECK_GOLDEN(Json::parse(text).dump(2) + "\n", "snapshot.json");
}

TEST_CASE("output.json.the_seven_keys_come_first") {
  const Json object = Json::parse(render_json(Snapshot{}));
  std::vector<std::string> keys;
  for (const auto& [key, value] : object.items()) {
    keys.push_back(key);
    CHECK((keys.size() > 7 || value.is_number()));
  }
  keys.resize(7);
  CHECK(keys == std::vector<std::string>{"active_concurrent", "peak_concurrent", "total_requests", "failed_requests",
                                         "queue_depth", "cpu_percent", "memory_mb"});
}

TEST_CASE("output.json.the_largest_numbers_stay_exact") {
  const Json object = Json::parse(render_json(greatest_snapshot()));
  for (const char* key :
       {"active_concurrent", "peak_concurrent", "total_requests", "failed_requests", "queue_depth", "open_connections",
        "peak_connections", "aborted_requests", "refused_requests", "rejected_requests", "undercount"}) {
    CAPTURE(key);
    CHECK(object.at(key).get<std::uint64_t>() == kMost);
  }
  CHECK(object["endpoints"][1]["active"].get<std::uint64_t>() == kMost);
  CHECK(object["memory_mb"].get<double>() == doctest::Approx(17592186044416.0));
}

TEST_CASE("output.json.has_exactly_the_keys_of_the_schema") {
  const Json schema = Json::parse(test::read_source_file("docs/schema/snapshot.schema.json"));
  check_documented(Json::parse(render_json(troubled_snapshot())), schema, "$");
  CHECK(schema.at("properties").size() == schema.at("required").size() + kSystem.size());
  CHECK(schema.at("properties").at("schema_version").at("const") == 2);
}

TEST_CASE("output.json.every_figure_is_documented_and_every_cause_is_in_the_schema") {
  const Json schema = Json::parse(test::read_source_file("docs/schema/snapshot.schema.json"));
  const std::string page = test::read_source_file("docs/metrics.md");
  for (const auto& property : schema.at("properties").items()) {
    const std::string& key = property.key();
    const Json type = property.value().value("type", "");
    CHECK_MESSAGE(((type != "integer" && type != "number") || page.find("`" + key + "`") != std::string::npos), key);
  }
  const Json& causes = schema.at("properties").at("undercount_by_cause").at("properties");
  CHECK(causes.size() == UNDERCOUNT_CAUSES - 1);  // all but UNDERCOUNT_NONE
}

}  // namespace
}  // namespace monitor
