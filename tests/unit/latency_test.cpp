// SPDX-License-Identifier: Apache-2.0
#include "model/latency.h"

#include <doctest/doctest.h>
#include <lib/latency.h>
#include <state/arrivals.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "model/counters.h"

namespace monitor {
namespace {

Latency histogram(const std::vector<double>& seconds) {
  Latency latency;
  for (const double value : seconds) {
    const auto ns = static_cast<std::uint64_t>(std::llround(value * 1e9));
    Latency one{.count = 1, .sum_seconds = value, .max_seconds = value, .buckets = {}};
    one.buckets.emplace_back(latency_bucket(ns), 1);
    add_latency(one, latency);
  }
  return latency;
}

}  // namespace

TEST_CASE("model.latency.bounds: they rise by at most 10%, and OpenTelemetry's are among them") {
  CHECK(latency_bound(0) == 0.0001);
  CHECK(latency_bound(latency_bounds() - 1) == 3600);
  for (std::size_t i = 1; i < latency_bounds(); ++i) {
    CHECK(latency_bound(i) > latency_bound(i - 1));
    CHECK(latency_bound(i) <= latency_bound(i - 1) * 1.1000001);
  }
  for (const double bound : kDurationBounds) {
    const Latency at = histogram({bound, bound * 1.000001});
    CAPTURE(bound);
    CHECK(latency_up_to(at, bound) == 1);
  }
}

TEST_CASE("bpf.latency_bucket: the bucket of a time is the first whose bound it does not exceed") {
  CHECK(latency_bucket(0) == 0);
  CHECK(latency_bucket(100'000) == 0);
  CHECK(latency_bucket(100'001) == 1);
  for (std::size_t i = 0; i < latency_bounds(); ++i) {
    const auto bound = static_cast<std::uint64_t>(std::llround(latency_bound(i) * 1e9));
    CHECK(latency_bucket(bound) == static_cast<int>(i));
    CHECK(latency_bucket(bound + 1) == static_cast<int>(i) + 1);
  }
  CHECK(latency_bucket(UINT64_MAX) == MONITOR_LATENCY_BOUNDS);
}

TEST_CASE("model.latency_quantile: within 5% of the nearest rank") {
  std::mt19937 random(7);  // NOLINT(cert-msc32-c,cert-msc51-cpp): the same numbers each time
  std::uniform_real_distribution<double> exponent(std::log(0.0001), std::log(3600));
  std::vector<double> values(5000);
  for (double& value : values) {
    value = std::exp(exponent(random));
  }
  const Latency latency = histogram(values);
  std::sort(values.begin(), values.end());
  for (const double quantile : {0.001, 0.5, 0.9, 0.95, 0.99, 1.0}) {
    const double exact = values.at(static_cast<std::size_t>(std::ceil(quantile * 5000)) - 1);
    CAPTURE(quantile);
    CHECK(std::abs(*latency_quantile(latency, quantile) / exact - 1) <= 0.05);
  }
  CHECK_FALSE(latency_quantile(Latency{}, 0.5));
  CHECK(*latency_quantile(histogram({0.00001}), 0.99) == 0.0001);
  CHECK(*latency_quantile(histogram({7200}), 0.99) == 7200);
}

TEST_CASE("model.latency_since: what an interval added") {
  const Latency before = histogram({0.001, 0.2, 5});
  Latency after = before;
  CHECK(latency_since(after, before).count == 0);
  CHECK_FALSE(latency_quantile(latency_since(after, before), 0.5));
  add_latency(histogram({0.001, 0.3}), after);
  const Latency grown = latency_since(after, before);
  CHECK(grown.count == 2);
  CHECK(grown.sum_seconds == doctest::Approx(0.301));
  CHECK(grown.max_seconds == doctest::Approx(0.3).epsilon(0.1));
  CHECK(*latency_quantile(grown, 0.99) == doctest::Approx(0.3).epsilon(0.05));
}

TEST_CASE("bpf.arrivals: a byte arrived with the first stamp that covers it") {
  arrivals a{};
  CHECK(arrival_of(&a, 0) == 0);
  constexpr std::uint32_t kStart = 0xfffffff0;  // positions wrap around
  arrivals_note(&a, kStart + 10, kStart, 100);
  arrivals_note(&a, kStart + 30, kStart, 200);
  CHECK(arrival_of(&a, kStart) == 100);
  CHECK(arrival_of(&a, kStart + 9) == 100);
  CHECK(arrival_of(&a, kStart + 10) == 200);
  CHECK(arrival_of(&a, kStart + 30) == 0);  // not there yet
  arrivals_note(&a, kStart + 40, kStart, 300);
  arrivals_note(&a, kStart + 50, kStart, 400);
  // No stamp is free: the newest one covers more.
  arrivals_note(&a, kStart + 60, kStart, 500);
  CHECK(arrival_of(&a, kStart) == 100);
  CHECK(arrival_of(&a, kStart + 55) == 400);
  // The oldest one was read.
  arrivals_note(&a, kStart + 70, kStart + 10, 600);
  CHECK(arrival_of(&a, kStart + 10) == 200);
  CHECK(arrival_of(&a, kStart + 59) == 400);
  CHECK(arrival_of(&a, kStart + 60) == 600);
}

}  // namespace monitor
