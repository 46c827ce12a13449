// SPDX-License-Identifier: Apache-2.0
// Prometheus' text and OpenMetrics: names and numbers, which endpoints become one series, and that no byte from outside
// breaks a line.
#include "output/prometheus.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <limits>
#include <map>
#include <random>
#include <sstream>

#include "output/series.h"
#include "output/text.h"
#include "unit/example_snapshot.h"

namespace monitor {
namespace {

using test::endpoint;
using test::example_snapshot;
using test::unescape;

std::string render(const std::vector<Snapshot>& snapshots, Exposition exposition = Exposition::kPrometheus) {
  SeriesChoice choice;
  return render_prometheus(snapshots, exposition, "1.2.3", choice);
}

struct Sample {
  std::string name;
  std::map<std::string, std::string> labels;
  std::string value;
};

// Parses a line strictly by the rules of the format.
Sample parse_sample(const std::string& line) {
  CAPTURE(line);
  Sample sample;
  std::size_t at = line.find('{');
  REQUIRE(at != std::string::npos);
  sample.name = line.substr(0, at++);
  while (line.at(at) != '}') {
    const std::size_t equals = line.find("=\"", at);
    REQUIRE(equals != std::string::npos);
    const std::string name = line.substr(at, equals - at);
    CHECK(std::all_of(name.begin(), name.end(), [](char byte) { return byte == '_' || (byte >= 'a' && byte <= 'z'); }));
    std::string& value = sample.labels[name];
    for (at = equals + 2; line.at(at) != '"'; ++at) {
      if (line.at(at) != '\\') {
        value += line[at];
        continue;
      }
      const char escaped = line.at(++at);
      REQUIRE_MESSAGE((escaped == '\\' || escaped == '"' || escaped == 'n'), line);
      value += escaped == 'n' ? '\n' : escaped;
    }
    ++at;
    at += line.at(at) == ',' ? 1 : 0;
  }
  REQUIRE(line.at(at + 1) == ' ');
  sample.value = line.substr(at + 2);
  CHECK(sample.value.find_first_not_of("0123456789.e+-") == std::string::npos);
  return sample;
}

std::vector<Sample> samples_of(const std::string& text, const std::string& name = "") {
  std::vector<Sample> samples;
  std::istringstream stream(text);
  for (std::string line; std::getline(stream, line);) {
    REQUIRE_FALSE(line.empty());
    if (line.front() != '#') {
      samples.push_back(parse_sample(line));
      if (!name.empty() && samples.back().name != name) {
        samples.pop_back();
      }
    }
  }
  return samples;
}

Durations durations(std::optional<unsigned> status, std::uint64_t fast, std::uint64_t slow) {
  Durations of_status;
  of_status.status = status;
  of_status.sum_seconds = 0.25;
  of_status.buckets.front() = fast;
  of_status.buckets.back() = slow;
  return of_status;
}

Snapshot with_durations() {
  Snapshot snapshot = example_snapshot();
  snapshot.cpu_seconds = 12.25;
  snapshot.undercount = {{"gap", 0}, {"tls", 2}};
  snapshot.endpoints[0].durations = {durations(200, 98, 2)};
  snapshot.endpoints[1].durations = {durations(200, 1, 0), durations({}, 0, 3)};
  snapshot.endpoints[1].durations.push_back(durations({}, 4, 0));
  snapshot.endpoints[1].durations.back().other = true;
  return snapshot;
}

TEST_CASE("output.prometheus.matches_the_golden_files") {
  CHECK_GOLDEN(render({with_durations()}), "prometheus.txt");
  CHECK_GOLDEN(render({with_durations()}, Exposition::kOpenMetrics), "openmetrics.txt");
}

TEST_CASE("output.prometheus.without_servers_it_is_still_a_document") {
  CHECK(samples_of(render({})).empty());
  CHECK(render({}, Exposition::kOpenMetrics).ends_with("\n# EOF\n"));
}

TEST_CASE("output.prometheus.unknown_methods_are_one_series") {
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("BREW", "/a", 1), endpoint("GET\n", "/a", 2), endpoint("get", "/a", 4),
                        endpoint("GET", "/a", 8), endpoint("", "(other)", 16)};
  snapshot.endpoints[0].durations = {durations(418, 1, 2)};
  snapshot.endpoints[1].durations = {durations(418, 3, 4)};
  snapshot.endpoints.push_back(endpoint("GET", "/a", 32));
  snapshot.endpoints.back().method_cut = true;
  const auto active = samples_of(render({snapshot}), "http_server_active_requests");
  REQUIRE(active.size() == 3);
  CHECK(active[0].labels.at("http_request_method") == "GET");
  CHECK(active[0].value == "8");
  CHECK(active[1].labels.at("http_request_method") == "_OTHER");
  CHECK(active[1].labels.at("endpoint") == "(other)");
  CHECK(active[2].value == "39");
  const auto counts = samples_of(render({snapshot}), "http_server_request_duration_seconds_count");
  REQUIRE(counts.size() == 1);
  CHECK(counts[0].value == "10");
  CHECK(samples_of(render({snapshot}), "http_server_request_duration_seconds_sum")[0].value == "0.5");
}

TEST_CASE("output.prometheus.buckets_are_cumulative_and_end_in_the_count") {
  const auto buckets = samples_of(render({with_durations()}), "http_server_request_duration_seconds_bucket");
  REQUIRE(buckets.size() == 4 * 21);
  CHECK(buckets[0].labels.at("le") == "0.005");
  CHECK(buckets[9].labels.at("le") == "1.0");
  CHECK(buckets[19].labels.at("le") == "600.0");
  CHECK(buckets[19].value == "98");
  CHECK(buckets[20].labels.at("le") == "+Inf");
  CHECK(buckets[20].value == "100");
}

TEST_CASE("output.prometheus.targets") {
  Snapshot one;
  one.pid = 7;
  one.listen = {"127.0.0.1:9999", "unix:/a"};
  Snapshot two = one;
  two.pid = 8;
  Snapshot three;
  three.pid = 9;
  CHECK(target_names({one, three}) == std::vector<std::string>{"127.0.0.1:9999", "pid:9"});
  CHECK(target_names({one, two, three}) == std::vector<std::string>{"127.0.0.1:9999#7", "127.0.0.1:9999#8", "pid:9"});
  const auto info = samples_of(render({one, two}), "target_info");
  REQUIRE(info.size() == 2);
  CHECK(info[1].labels.at("target") == "127.0.0.1:9999#8");
  CHECK(info[1].labels.at("pid") == "8");
  CHECK(info[1].labels.at("version") == "1.2.3");
}

// Each series appears once and each family in one piece, whatever bytes clients send.
void check_hostile(const std::string& bytes) {
  CAPTURE(escape_text(bytes));
  Snapshot snapshot;
  snapshot.endpoints = {endpoint("G" + bytes, "/" + bytes + "z", 1), endpoint("GET", bytes, 2)};
  snapshot.endpoints[1].durations = {durations(200, 1, 0)};
  snapshot.command = bytes + " " + bytes;
  snapshot.listen = {"unix:/" + bytes};
  snapshot.profile = bytes;
  snapshot.undercount = {{bytes, 1}};
  for (const Exposition exposition : {Exposition::kPrometheus, Exposition::kOpenMetrics}) {
    const std::string text = render({snapshot}, exposition);
    const auto active = samples_of(text, "http_server_active_requests");
    REQUIRE(active.size() == 2);
    CHECK(unescape(active[0].labels.at("endpoint")) == bytes);
    CHECK(unescape(active[1].labels.at("endpoint")) == "/" + bytes + "z");
    CHECK(unescape(active[0].labels.at("target")) == "unix:/" + bytes);
    CHECK(unescape(samples_of(text, "target_info")[0].labels.at("command")) == snapshot.command);
    CHECK(samples_of(text).size() == 2 + 18 + 21 + 1 + 1 + 2);
  }
}

TEST_CASE("output.prometheus.no_byte_from_outside_breaks_a_line") {
  for (unsigned value = 0; value < 256; ++value) {
    check_hostile(std::string(1, static_cast<char>(value)));
  }
  for (const char* bytes : {"\"} 1\nforged 2", "\\", "\\\"", "\"", "\\n", "\r\n# EOF\n", "\xe2\x80\xa8", "\xc0\xaf",
                            "é中😀", "a\",http_request_method=\"GET"}) {
    check_hostile(bytes);
  }
  constexpr std::string_view kAlphabet = "\\\"\n,{}=# aé";
  std::mt19937 random(1);
  for (int round = 0; round < 500; ++round) {
    std::string bytes(random() % 12, '\0');
    std::generate(bytes.begin(), bytes.end(), [&] { return kAlphabet[random() % kAlphabet.size()]; });
    check_hostile("/" + bytes);
  }
}

TEST_CASE("output.prometheus.impossible_values_are_shown_as_0") {
  Snapshot snapshot;
  snapshot.cpu_seconds = std::numeric_limits<double>::quiet_NaN();
  snapshot.uptime_seconds = -1;
  snapshot.observed_seconds = std::numeric_limits<double>::infinity();
  snapshot.total = std::numeric_limits<std::uint64_t>::max();
  const std::string text = render({snapshot});
  CHECK(samples_of(text, "uvicorn_cpu_seconds_total")[0].value == "0");
  CHECK(samples_of(text, "uvicorn_uptime_seconds")[0].value == "0");
  CHECK(samples_of(text, "uvicorn_observed_seconds")[0].value == "0");
  CHECK(samples_of(text, "uvicorn_requests_total")[0].value == "18446744073709551615");
}

}  // namespace
}  // namespace monitor
