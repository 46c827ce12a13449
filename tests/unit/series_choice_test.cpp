// SPDX-License-Identifier: Apache-2.0
// The size of a scrape, that its sums are complete, and that no counter falls, whatever the endpoints do.
#include "output/series_choice.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <numeric>
#include <random>
#include <string>

#include "output/prometheus.h"
#include "output/warnings.h"

namespace monitor {
namespace {

EndpointCounters counted(const std::string& path, std::uint64_t requests) {
  EndpointCounters counters;
  counters.method = path.starts_with('(') ? "" : "GET";
  counters.path = path;
  counters.completed = requests;
  Durations durations;
  durations.status = 200;
  durations.buckets[3] = requests;
  durations.sum_seconds = 0.25 * static_cast<double>(requests);
  counters.durations = {durations};
  return counters;
}

std::uint64_t requests_of(const EndpointSeries& series) {
  std::uint64_t sum = 0;
  for (const Durations& durations : series.counters.durations) {
    sum = std::accumulate(durations.buckets.begin(), durations.buckets.end(), sum);
  }
  return sum;
}

std::uint64_t requests_of(const ChosenSeries& chosen, const std::string& endpoint) {
  const auto found = std::find_if(chosen.series.begin(), chosen.series.end(),
                                  [&](const EndpointSeries& series) { return series.endpoint == endpoint; });
  return found == chosen.series.end() ? 0 : requests_of(*found);
}

std::uint64_t sum_of(const ChosenSeries& chosen) {
  return std::accumulate(chosen.series.begin(), chosen.series.end(), std::uint64_t{0},
                         [](std::uint64_t sum, const EndpointSeries& series) { return sum + requests_of(series); });
}

// Room for as many endpoints as `limit` says, besides "(other)".
ChosenSeries choose(SeriesChoice& choice, const Snapshot& snapshot) {
  return choice
      .choose({snapshot}, {"a"}, 0,
              [](std::string_view, const EndpointSeries& series) -> std::size_t {
                return series.endpoint.starts_with('(') ? 0 : 1;
              })
      .front();
}

Snapshot many_endpoints(std::size_t count) {
  Snapshot snapshot;
  snapshot.listen = {"127.0.0.1:8000"};
  for (std::size_t i = 0; i < count; ++i) {
    snapshot.endpoints.push_back(counted("/" + std::string(100, 'x') + std::to_string(i), i == 0 ? 1000 : 1));
  }
  return snapshot;
}

TEST_CASE("series choice: without pressure every endpoint is shown") {
  SeriesChoice choice(3);
  Snapshot snapshot;
  snapshot.endpoints = {counted("/a", 1), counted("/b", 2), counted("(other)", 5)};
  const ChosenSeries chosen = choose(choice, snapshot);
  CHECK(chosen.left_out == 0);
  CHECK(chosen.series.size() == 3);
  CHECK(requests_of(chosen, "(other)") == 5);
}

TEST_CASE("series choice: the busiest are shown, the others summed, and one that becomes busy begins at 0") {
  SeriesChoice choice(1);
  Snapshot snapshot;
  snapshot.endpoints = {counted("/a", 10), counted("/b", 4)};
  ChosenSeries chosen = choose(choice, snapshot);
  CHECK(requests_of(chosen, "/a") == 10);
  CHECK(requests_of(chosen, "(other)") == 4);
  CHECK(chosen.left_out == 1);
  snapshot.endpoints = {counted("/a", 10), counted("/b", 20)};  // not more than twice as many
  CHECK(requests_of(choose(choice, snapshot), "/a") == 10);
  snapshot.endpoints = {counted("/a", 10), counted("/b", 21)};
  chosen = choose(choice, snapshot);
  CHECK(requests_of(chosen, "/a") == 0);
  CHECK(requests_of(chosen, "/b") == 0);
  CHECK(requests_of(chosen, "(other)") == 31);
  snapshot.endpoints = {counted("/a", 11), counted("/b", 24)};
  chosen = choose(choice, snapshot);
  CHECK(requests_of(chosen, "/b") == 3);
  CHECK(requests_of(chosen, "(other)") == 32);
  CHECK(sum_of(chosen) == 35);
}

TEST_CASE("series choice: sums are complete and no counter falls while endpoints come, grow and are evicted") {
  std::mt19937 random{7};  // NOLINT(cert-msc51-cpp): the same run every time
  for (int run = 0; run < 50; ++run) {
    SeriesChoice choice(4);
    std::map<std::string, std::uint64_t> table;
    std::uint64_t other = 0;
    std::uint64_t total = 0;
    std::map<std::string, std::uint64_t> before;
    for (int scrape = 0; scrape < 60; ++scrape) {
      std::map<std::string, bool> evicted;
      for (auto event = random() % 30; event > 0; --event) {
        const std::string path = "/" + std::to_string(random() % 12);
        if (random() % 8 == 0 && table.contains(path)) {
          other += table[path];
          table.erase(path);
          evicted[path] = true;
        } else {
          const std::uint64_t more = random() % 2 == 0 ? 1 : random() % 40;
          table[path] += more;
          total += more;
        }
      }
      Snapshot snapshot;
      for (const auto& [path, requests] : table) {
        snapshot.endpoints.push_back(counted(path, requests));
      }
      snapshot.endpoints.push_back(counted("(other)", other));
      const ChosenSeries chosen = choose(choice, snapshot);
      const ChosenSeries again = choose(choice, snapshot);
      CHECK(chosen.series.size() <= 5);
      CHECK(sum_of(chosen) == total);
      CHECK(sum_of(again) == total);
      CHECK(chosen.left_out == again.left_out);
      std::map<std::string, std::uint64_t> now;
      for (const EndpointSeries& series : chosen.series) {
        now[series.endpoint] = requests_of(series);
        if (before.contains(series.endpoint) && !evicted.contains(series.endpoint)) {
          CHECK(now[series.endpoint] >= before[series.endpoint]);
        }
      }
      before = now;
    }
  }
}

TEST_CASE("series choice: a scrape of thousands of endpoints stays below its limit, and says what is left out") {
  const Snapshot snapshot = many_endpoints(3000);
  for (const Exposition exposition : {Exposition::kPrometheus, Exposition::kOpenMetrics}) {
    SeriesChoice choice;
    const std::string text = render_prometheus({snapshot}, exposition, "1", choice);
    CHECK(text.size() < 1'000'000);
    CHECK(text.size() > 800'000);
    CHECK(text.find("x0\"") != std::string::npos);
    CHECK((text.find(" endpoints of 127.0.0.1:8000 are left out") != std::string::npos) ==
          (exposition == Exposition::kPrometheus));
    const std::size_t at = text.find("uvicorn_endpoints_left_out{target=\"127.0.0.1:8000\"} ");
    REQUIRE(at != std::string::npos);
    CHECK(std::stoi(text.substr(text.find(' ', at))) > 2000);
    SeriesChoice larger(100'000'000);
    CHECK(render_prometheus({snapshot}, exposition, "1", larger).find("left_out{target=\"127.0.0.1:8000\"} 0") !=
          std::string::npos);
  }
}

TEST_CASE("warnings: requests under (other), but for those of deep pipelines") {
  Snapshot snapshot;
  CHECK(warnings(snapshot).empty());
  snapshot.endpoints = {counted("/(other)", 9), counted("(other)", 3)};
  REQUIRE(warnings(snapshot).size() == 1);
  CHECK(warnings(snapshot).front().find("3 requests count under (other). --routes FILE") != std::string::npos);
  snapshot.undercount["pipeline"] = 3;
  CHECK(warnings(snapshot).empty());
  CHECK(other_requests(snapshot) == 3);
}

}  // namespace
}  // namespace monitor
