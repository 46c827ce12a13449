// SPDX-License-Identifier: Apache-2.0
// CSV, InfluxDB's line protocol and StatsD: the formats, and that no byte from outside breaks a line.
#include <doctest/doctest.h>

#include <algorithm>
#include <chrono>
#include <limits>
#include <nlohmann/json.hpp>
#include <random>
#include <sstream>

#include "output/csv.h"
#include "output/influx.h"
#include "output/metrics.h"
#include "output/statsd.h"
#include "output/text.h"
#include "unit/example_snapshot.h"

namespace monitor {
namespace {

using test::endpoint;
using test::example_snapshot;
using test::unescape;
using Time = std::chrono::system_clock::time_point;

// 2026-11-25T14:30:12.345Z
const Time kNow{std::chrono::milliseconds{1795617012345}};

std::vector<std::string> split(const std::string& text, char separator) {
  std::vector<std::string> parts;
  std::istringstream stream(text);
  for (std::string part; std::getline(stream, part, separator);) {
    parts.push_back(part);
  }
  return parts;
}

TEST_CASE("output.csv.has_the_documented_columns") {
  CHECK(csv_header() ==
        "time,pid,target,active_concurrent,peak_concurrent,total_requests,failed_requests,queue_depth,cpu_percent,"
        "memory_mb,threads,uptime_seconds,observed_seconds,open_connections,peak_connections,aborted_requests,"
        "refused_requests,rejected_requests,websockets_active,undercount,other_requests,queue_wait_seconds_p50,"
        "queue_wait_seconds_p90,queue_wait_seconds_p95,queue_wait_seconds_p99,queue_wait_seconds_max,"
        "queue_wait_recent_count,time_to_first_byte_seconds_p50,time_to_first_byte_seconds_p90,"
        "time_to_first_byte_seconds_p95,time_to_first_byte_seconds_p99,time_to_first_byte_seconds_max,"
        "time_to_first_byte_recent_count,duration_seconds_p50,duration_seconds_p90,duration_seconds_p95,"
        "duration_seconds_p99,duration_seconds_max,duration_recent_count,listener\n");
  CHECK(render_csv({example_snapshot()}, kNow) ==
        "2026-11-25T14:30:12.345Z,4242,127.0.0.1:9999,4,12,256,0,2,42.5,512.3,8,5025.25,61.5,17,31,5,0,1,1,0,0,"
        "0.0001,0.0001,0.104881,0.104881,0.105,100,0.104881,0.104881,0.104881,0.104881,0.108,100,"
        "0.104881,0.104881,0.104881,1.048809,1.05,100,\n");
  CHECK(render_csv({}, kNow).empty());
  CHECK(render_csv({Snapshot{}}, Time{}).starts_with("1970-01-01T00:00:00.000Z,0,pid:0,"));
  CHECK(render_csv({Snapshot{}}, Time{}).ends_with(",,,,,,0,,,,,,0,,,,,,0,\n"));  // percentiles of no requests
}

TEST_CASE("output.csv.fields_are_quoted") {
  Snapshot snapshot;
  snapshot.listen = {"unix:/a,\"b\"\n"};
  snapshot.address = snapshot.listen.front();
  CHECK(render_csv({snapshot}, kNow).starts_with("2026-11-25T14:30:12.345Z,0,\"unix:/a,\"\"b\"\"\\x0a\",0,"));
}

Snapshot with_durations() {
  Snapshot snapshot = example_snapshot();
  Durations durations;
  durations.status = 200;
  durations.sum_seconds = 1.5;
  durations.buckets = {1, 2, 3};
  snapshot.endpoints[0].durations = {durations, durations};
  return snapshot;
}

TEST_CASE("output.influx.has_a_point_for_each_server_and_endpoint") {
  const auto lines = split(render_influx({with_durations()}, kNow), '\n');
  REQUIRE(lines.size() == 4);
  CHECK(lines[0].starts_with("uvicorn,target=127.0.0.1:9999,pid=4242 active_concurrent=4i,peak_concurrent=12i,"));
  CHECK(lines[0].find(",cpu_percent=42.5,memory_mb=512.3,threads=8i,") != std::string::npos);
  CHECK(lines[0].ends_with(",duration_seconds_max=1.05,duration_recent_count=100i 1795617012345000000"));
  CHECK(lines[1] ==
        "uvicorn_endpoint,target=127.0.0.1:9999,pid=4242,method=GET,endpoint=/health active=0i,completed=100i,"
        "failed=0i,aborted=0i,websockets_active=0i,duration_seconds_sum=3,duration_count=12i,"
        "queue_wait_recent_count=0i,time_to_first_byte_recent_count=0i,duration_recent_count=0i 1795617012345000000");
}

// Durations of every kind: without a status, of statuses that share a histogram, merged from several endpoints, and
// exact to the nanosecond.
Snapshot busy_snapshot() {
  Snapshot snapshot = with_durations();
  snapshot.refused = 2;
  snapshot.uptime_seconds = 5025.2504;
  snapshot.undercount = {{"gap", 1}, {"tls", 2}};
  Durations without_status;
  without_status.sum_seconds = 0.000123457;
  without_status.buckets.back() = 1;
  Durations other = without_status;
  other.other = true;
  snapshot.endpoints[1].durations = {other, without_status};
  snapshot.endpoints.push_back(snapshot.endpoints[1]);
  snapshot.endpoints.back().method = "BREW";
  snapshot.endpoints.push_back(snapshot.endpoints.back());
  snapshot.endpoints.back().method = "BOIL";
  return snapshot;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += line + "\n";
  }
  return text;
}

TEST_CASE("output.exporters.match_the_golden_files") {
  Snapshot before = busy_snapshot();
  before.total -= 6;
  before.endpoints[1].completed -= 6;
  Snapshot hidden = busy_snapshot();
  hidden.system = false;
  hidden.pid = 4243;
  hidden.listen = {};
  hidden.address = "";
  CHECK_GOLDEN(csv_header() + render_csv({busy_snapshot(), hidden}, kNow), "figures.csv");
  CHECK_GOLDEN(render_influx({busy_snapshot(), hidden}, kNow), "influx.txt");
  CHECK_GOLDEN(joined(render_statsd({busy_snapshot(), hidden}, {before}, false)), "statsd.txt");
  CHECK_GOLDEN(joined(render_statsd({busy_snapshot(), hidden}, {before}, true)), "dogstatsd.txt");
}

TEST_CASE("output.influx.numbers_past_63_bits_saturate") {
  Snapshot snapshot;
  snapshot.total = std::numeric_limits<std::uint64_t>::max();
  CHECK(render_influx({snapshot}, kNow).find(",total_requests=9223372036854775807i,") != std::string::npos);
}

// The tags of a line, read as InfluxDB 1 does: a separator counts unless a backslash is before it.
std::vector<std::string> tags_of(const std::string& line) {
  std::vector<std::string> parts(1);
  for (std::size_t i = 0; i < line.size(); ++i) {
    const bool escaped = i > 0 && line[i - 1] == '\\';
    if (line[i] == ' ' && !escaped) {
      return parts;
    }
    if (line[i] == ',' && !escaped) {
      parts.emplace_back();
    } else if ((line[i] == ',' || line[i] == ' ' || line[i] == '=') && escaped) {
      parts.back().back() = line[i];
    } else {
      parts.back() += line[i];
    }
  }
  FAIL("no fields: ", line);
  return parts;
}

Snapshot hostile(const std::string& bytes) {
  Snapshot snapshot;
  snapshot.pid = 1;
  snapshot.endpoints = {endpoint("G" + bytes, "/" + bytes, 1)};
  snapshot.listen = {"unix:/" + bytes};
  snapshot.address = snapshot.listen.front();
  snapshot.command = bytes;
  return snapshot;
}

void check_hostile(const std::string& bytes) {
  CAPTURE(escape_text(bytes));
  const Snapshot snapshot = hostile(bytes);
  const auto lines = split(render_influx({snapshot}, kNow), '\n');
  REQUIRE(lines.size() == 2);
  const auto tags = tags_of(lines[1]);
  REQUIRE(tags.size() == 5);
  CHECK(unescape(tags[1]) == "target=unix:/" + bytes);
  CHECK(unescape(tags[4]) == "endpoint=/" + bytes);

  const std::string csv = render_csv({snapshot}, kNow);
  CHECK(std::count(csv.begin(), csv.end(), '\n') == 1);

  for (const std::string& line : render_statsd({snapshot}, {snapshot}, true)) {
    CHECK(line.find('\n') == std::string::npos);
    CHECK(std::count(line.begin(), line.end(), '|') == 2);
    const auto of_line = split(line.substr(line.find('#') + 1), ',');
    CHECK(of_line[0].starts_with("target:"));
    CHECK(unescape(of_line[0]) == "target:unix:/" + bytes);
    if (line.starts_with("uvicorn.endpoint")) {
      REQUIRE(of_line.size() == 4);
      CHECK(unescape(of_line[3]) == "endpoint:/" + bytes);
    }
  }
}

TEST_CASE("output.exporters.no_byte_from_outside_breaks_a_line") {
  for (unsigned value = 0; value < 256; ++value) {
    check_hostile(std::string(1, static_cast<char>(value)));
    check_hostile("a" + std::string(2, static_cast<char>(value)));
  }
  for (const char* bytes : {"\\,", "\\ ", "\\=", ",a=b", " a=1i", "\\\\", "|c|#a:b", "\n", "\"", "é中😀", "\\x5c"}) {
    check_hostile(bytes);
  }
  constexpr std::string_view kAlphabet = "\\\"\n,= |#:aé";
  std::mt19937 random(1);
  for (int round = 0; round < 2000; ++round) {
    std::string bytes(random() % 12, '\0');
    std::generate(bytes.begin(), bytes.end(), [&] { return kAlphabet[random() % kAlphabet.size()]; });
    check_hostile(bytes);
  }
}

bool has(const std::vector<std::string>& lines, const std::string& line) {
  return std::find(lines.begin(), lines.end(), line) != lines.end();
}

TEST_CASE("output.statsd.gauges_and_differences") {
  const Snapshot before = example_snapshot();
  Snapshot now = before;
  now.total += 3;
  now.aborted = 0;  // read while an endpoint was removed
  now.endpoints[0].completed += 3;
  const auto first = render_statsd({now}, {}, false);
  CHECK(has(first, "uvicorn.active_concurrent:4|g"));
  CHECK(has(first, "uvicorn.cpu_percent:42.5|g"));
  CHECK(std::none_of(first.begin(), first.end(), [](const std::string& line) { return line.ends_with("|c"); }));
  const auto second = render_statsd({now}, {before}, false);
  CHECK(has(second, "uvicorn.total_requests:3|c"));
  CHECK(has(second, "uvicorn.failed_requests:0|c"));
  CHECK(has(second, "uvicorn.aborted_requests:0|c"));
  CHECK(second.size() == figures(Snapshot{}, kStatsd).size());
  const auto tagged = render_statsd({now}, {before}, true);
  CHECK(has(tagged, "uvicorn.total_requests:3|c|#target:127.0.0.1:9999,pid:4242"));
  CHECK(has(tagged, "uvicorn.endpoint.completed:3|c|#target:127.0.0.1:9999,pid:4242,method:GET,endpoint:/health"));
  CHECK(
      has(tagged, "uvicorn.endpoint.active:1|g|#target:127.0.0.1:9999,pid:4242,method:POST,endpoint:/v1/completions"));
}

TEST_CASE("output.statsd.no_datagram_is_too_long") {
  Snapshot snapshot = hostile(std::string(107, '\x01'));
  for (int i = 0; i < 300; ++i) {
    snapshot.endpoints.push_back(endpoint("GET", std::string(112, '\xff'), 1));
    snapshot.endpoints.back().path[0] = static_cast<char>(1 + i % 250);
  }
  const auto lines = render_statsd({snapshot}, {snapshot}, true);
  const auto datagrams = pack_datagrams(lines);
  CHECK(datagrams.size() > 1);
  std::vector<std::string> unpacked;
  for (const std::string& datagram : datagrams) {
    CHECK(datagram.size() <= kMostDatagram);
    const auto of_datagram = split(datagram, '\n');
    unpacked.insert(unpacked.end(), of_datagram.begin(), of_datagram.end());
  }
  CHECK(unpacked == lines);
  CHECK(pack_datagrams({}).empty());
  CHECK(pack_datagrams({"abc", "de", "f"}, 6) == std::vector<std::string>{"abc\nde", "f"});
}

}  // namespace
}  // namespace monitor
