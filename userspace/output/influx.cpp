// SPDX-License-Identifier: Apache-2.0
// https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
#include "output/influx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <numeric>
#include <string_view>

#include "output/figures.h"
#include "output/named_figures.h"
#include "output/series.h"

namespace monitor {
namespace {

// ",key=value". A tag without a value is none. The server takes a separator for escaped if a backslash is before it,
// be that itself escaped or not: none may be the last byte. It is one of a pair then (text.h), for which \x5c stands.
std::string tag(std::string_view key, std::string_view value) {
  if (value.empty()) {
    return "";
  }
  std::string text = fmt::format(",{}=", key);
  const bool backslash_last = value.ends_with("\\\\");
  if (backslash_last) {
    value.remove_suffix(2);
  }
  for (const char byte : value) {
    if (byte == ',' || byte == '=' || byte == ' ') {
      text += '\\';
    }
    text += byte;
  }
  return text + (backslash_last ? "\\x5c" : "");
}

// Integers are signed there.
std::string field_value(const Number& number) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  const auto* const whole = std::get_if<std::uint64_t>(&number);
  return whole != nullptr ? fmt::format("{}i", std::min(*whole, kMost)) : number_text(number);
}

std::vector<NamedFigure> endpoint_figures(const EndpointSeries& series) {
  double seconds = 0;
  std::uint64_t timed = 0;
  for (const auto& [status, durations] : series.durations) {
    seconds += durations.sum_seconds;
    timed = std::accumulate(durations.buckets.begin(), durations.buckets.end(), timed);
  }
  return {{"active", series.active},
          {"completed", series.completed},
          {"failed", series.failed},
          {"aborted", series.aborted},
          {"websockets_active", series.websockets},
          {"duration_seconds_sum", presentable(seconds)},
          {"duration_count", timed}};
}

std::string point(std::string_view measurement, std::string_view tags, const std::vector<NamedFigure>& figures,
                  std::int64_t nanoseconds) {
  std::string fields;
  for (const NamedFigure& figure : figures) {
    fields += fmt::format("{}{}={}", fields.empty() ? "" : ",", figure.name, field_value(figure.value));
  }
  return fmt::format("{}{} {} {}\n", measurement, tags, fields, nanoseconds);
}

}  // namespace

std::string render_influx(const std::vector<Snapshot>& snapshots, std::chrono::system_clock::time_point now) {
  const std::int64_t at = std::chrono::nanoseconds(now.time_since_epoch()).count();
  const std::vector<std::string> names = target_names(snapshots);
  std::string lines;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    const std::string tags = tag("target", names[i]) + tag("pid", std::to_string(snapshots[i].pid));
    lines += point("uvicorn", tags, named_figures(snapshots[i]), at);
    for (const EndpointSeries& series : endpoint_series(snapshots[i])) {
      lines += point("uvicorn_endpoint", tags + tag("method", series.method) + tag("endpoint", series.endpoint),
                     endpoint_figures(series), at);
    }
  }
  return lines;
}

}  // namespace monitor
