// SPDX-License-Identifier: Apache-2.0
// Shared by the tests of the outputs: the snapshot of the golden files, a reader of those files, and the inverse of
// escape_text.
#pragma once

#include <doctest/doctest.h>

#include <cstdlib>
#include <fstream>
#include <sstream>
#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace monitor::test {

inline std::string read_source_file(const std::string& path) {
  std::ifstream file(std::string(MONITOR_SOURCE_DIR "/") + path, std::ios::binary);
  REQUIRE_MESSAGE(file.good(), "cannot open ", path);
  std::ostringstream text;
  text << file.rdbuf();
  return text.str();
}

// The content of a golden file. With MONITOR_UPDATE_GOLDEN set, the file becomes `actual` first: look at `git diff`
// after. Use it through CHECK_GOLDEN.
inline std::string golden(const std::string& name, const std::string& actual) {
  const std::string path = "tests/unit/golden/" + name;
  if (std::getenv("MONITOR_UPDATE_GOLDEN") != nullptr) {
    std::ofstream(std::string(MONITOR_SOURCE_DIR "/") + path, std::ios::binary) << actual;
  }
  return read_source_file(path);
}

// NOLINTNEXTLINE(cppcoreguidelines-macro-usage): doctest reports the line of the caller
#define CHECK_GOLDEN(actual, name)                         \
  do {                                                     \
    const std::string golden_text = (actual);              \
    CHECK(golden_text == test::golden(name, golden_text)); \
  } while (false)

inline EndpointCounters endpoint(std::string method, std::string path, std::uint64_t active) {
  EndpointCounters counters;
  counters.method = std::move(method);
  counters.path = std::move(path);
  counters.active = active;
  counters.peak = active;
  return counters;
}

// A histogram of each kind: without a status, of a status, and of the statuses that share one.
inline std::vector<Durations> durations_by_status() {
  Durations without;
  without.sum_seconds = 0.00025;
  without.buckets.front() = 3;
  Durations ok;
  ok.status = 200;
  ok.sum_seconds = 120.5;
  ok.buckets = {1, 2, 0, 0, 0, 5, 0, 0, 0, 90, 0, 0, 0, 8, 0, 1, 0, 0, 0, 0, 1};
  Durations other;
  other.other = true;
  other.sum_seconds = 44;
  other.buckets.back() = 4;
  return {without, ok, other};
}

inline Latency latency(std::vector<std::pair<std::uint16_t, std::uint64_t>> buckets, double sum, double max) {
  Latency made{.count = 0, .sum_seconds = sum, .max_seconds = max, .buckets = std::move(buckets)};
  for (const auto& [bucket, count] : made.buckets) {
    made.count += count;
  }
  return made;
}

// Bucket 85 ends at 110 ms, 113 at 1.1 s.
inline Latencies example_times() {
  return {latency({{0, 90}, {85, 10}}, 1.0, 0.105), latency({{85, 100}}, 10.5, 0.108),
          latency({{85, 97}, {113, 3}}, 13.5, 1.05)};
}

// The values that the box and the log lines are specified with.
inline Snapshot example_snapshot() {
  Snapshot snapshot;
  snapshot.active = 4;
  snapshot.peak = 12;
  snapshot.total = 256;
  snapshot.aborted = 5;
  snapshot.rejected = 1;
  snapshot.websockets = 1;
  snapshot.queue_depth = 2;
  snapshot.open_connections = 17;
  snapshot.peak_connections = 31;
  snapshot.recent = example_times();
  snapshot.cpu_percent = 42.5;
  snapshot.memory_bytes = 537185485;
  snapshot.threads = 8;
  snapshot.uptime_seconds = 5025.25;
  snapshot.observed_seconds = 61.5;
  snapshot.not_seen_seconds = 0.75;
  snapshot.profile = "socket";
  snapshot.pid = 4242;
  snapshot.command = "/usr/bin/python3 -m uvicorn proxy:app --port 9999 --workers 2";
  snapshot.program = "uvicorn";
  snapshot.application = "proxy:app";
  snapshot.title = "uvicorn proxy:app";
  snapshot.evidence = Evidence::kCommand;
  snapshot.listen = {"127.0.0.1:9999", "[::1]:9999"};

  EndpointCounters health = endpoint("GET", "/health", 0);
  health.peak = 2;
  health.completed = 100;
  health.status[2] = 100;
  EndpointCounters chat = endpoint("POST", "/v1/chat/completions", 3);
  chat.peak = 10;
  chat.completed = 120;
  chat.aborted = 5;
  chat.websockets = 1;
  chat.status = {3, 0, 115, 0, 2, 0};
  chat.recent = example_times();
  chat.latencies = example_times();
  EndpointCounters completions = endpoint("POST", "/v1/completions", 1);
  completions.peak = 4;
  completions.completed = 36;
  completions.status = {0, 0, 30, 1, 5, 0};
  snapshot.endpoints = {health, chat, completions};

  snapshot.workers = {WorkerSnapshot{4250, 3, 130, 30.25, 268435456, 4},
                      WorkerSnapshot{4251, 1, 126, 12.25, 134217728, 3}};

  snapshot.address = "127.0.0.1:9999";
  ListenerSnapshot http;
  http.number = 1;
  http.address = "127.0.0.1:9999";
  http.protocol = "http";
  http.processes = {4242, 4250, 4251};
  http.active = 4;
  http.peak = 12;
  http.total = 256;
  http.aborted = 5;
  http.rejected = 1;
  http.websockets = 1;
  http.queue_depth = 2;
  http.open_connections = 17;
  http.undercount = {{"gap", 0}, {"tls", 2}};
  http.endpoints = snapshot.endpoints;
  ListenerSnapshot engine;
  engine.number = 2;
  engine.address = "[::1]:9999";
  engine.apart = true;
  engine.processes = {4260};
  snapshot.listeners = {http, engine};
  return snapshot;
}

// Inverts escape_text.
inline std::string unescape(std::string_view text) {
  std::string bytes;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (text[at] != '\\') {
      bytes += text[at];
    } else if (text.at(at + 1) == 'x') {
      bytes += static_cast<char>(std::stoul(std::string(text.substr(at + 2, 2)), nullptr, 16));
      at += 3;
    } else {
      REQUIRE(text[at + 1] == '\\');
      bytes += '\\';
      at += 1;
    }
  }
  return bytes;
}

}  // namespace monitor::test
