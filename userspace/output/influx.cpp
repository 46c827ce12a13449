// SPDX-License-Identifier: Apache-2.0
// https://docs.influxdata.com/influxdb/v1/write_protocols/line_protocol_reference/
#include "output/influx.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdint>
#include <limits>
#include <string_view>

#include "output/metrics.h"
#include "output/series.h"
#include "output/text.h"

namespace monitor {
namespace {

// ",key=value", or nothing if the value is empty, because the protocol has no empty tags. The server takes a separator
// as escaped whenever a backslash precedes it, even if that backslash is itself escaped, so no value may end in one. A
// last backslash is always one of a pair (text.h); \x5c replaces that pair.
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

// InfluxDB's integers are signed and have 64 bits.
std::string field_value(const Number& number) {
  constexpr std::uint64_t kMost = std::numeric_limits<std::int64_t>::max();
  const auto* const whole = std::get_if<std::uint64_t>(&number);
  return whole != nullptr ? fmt::format("{}i", std::min(*whole, kMost)) : number_text(number);
}

std::string point(std::string_view measurement, std::string_view tags, const std::vector<Figure>& list,
                  std::int64_t nanoseconds) {
  std::string fields;
  for (const Figure& figure : list) {
    if (figure.value) {
      fields += fmt::format("{}{}={}", fields.empty() ? "" : ",", figure.name, field_value(*figure.value));
    }
  }
  return fmt::format("{}{} {} {}\n", measurement, tags, fields, nanoseconds);
}

}  // namespace

std::string render_influx(const std::vector<Snapshot>& snapshots, std::chrono::system_clock::time_point now) {
  const std::int64_t at = std::chrono::nanoseconds(now.time_since_epoch()).count();
  const std::vector<std::string> names = target_names(snapshots);
  std::string lines;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    const std::string tags = tag("target", names[i]) + tag("pid", std::to_string(snapshots[i].pid)) +
                             tag("listener", escape_text(snapshots[i].listener));
    lines += point("uvicorn", tags, figures(snapshots[i], kInflux), at);
    for (const EndpointSeries& series : endpoint_series(snapshots[i])) {
      lines += point("uvicorn_endpoint", tags + tag("method", series.method) + tag("endpoint", series.endpoint),
                     figures(series.counters, kInflux), at);
    }
  }
  return lines;
}

}  // namespace monitor
