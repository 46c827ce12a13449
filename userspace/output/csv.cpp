// SPDX-License-Identifier: Apache-2.0
// The columns are time, pid and target, then the figures of the registry, then the listener, which is empty unless the
// figures are those of one.
#include "output/csv.h"

#include <fmt/chrono.h>
#include <fmt/format.h>

#include "output/metrics.h"
#include "output/series.h"
#include "output/text.h"

namespace monitor {
namespace {

// RFC 4180 §2: quoted if it holds a comma or a quote. It holds no newline, because target_names() escapes.
std::string field(const std::string& value) {
  if (value.find_first_of(",\"") == std::string::npos) {
    return value;
  }
  std::string quoted = "\"";
  for (const char byte : value) {
    quoted += byte == '"' ? "\"\"" : std::string(1, byte);
  }
  return quoted + '"';
}

// ISO 8601, UTC, milliseconds.
std::string time_text(std::chrono::system_clock::time_point now) {
  const auto milliseconds = std::chrono::floor<std::chrono::milliseconds>(now);
  const auto whole = std::chrono::floor<std::chrono::seconds>(milliseconds);
  return fmt::format("{:%Y-%m-%dT%H:%M:%S}.{:03d}Z", fmt::gmtime(std::chrono::system_clock::to_time_t(whole)),
                     (milliseconds - whole).count());
}

}  // namespace

std::string csv_header() {
  std::string header = "time,pid,target";
  for (const Figure& column : figures(Snapshot{}, kCsv)) {
    header += "," + column.name;
  }
  return header + ",listener\n";
}

std::string render_csv(const std::vector<Snapshot>& snapshots, std::chrono::system_clock::time_point now) {
  const std::vector<std::string> names = target_names(snapshots);
  std::string lines;
  for (std::size_t i = 0; i < snapshots.size(); ++i) {
    lines += fmt::format("{},{},{}", time_text(now), snapshots[i].pid, field(names[i]));
    // Figures that --no-system hides have no value here, and their columns stay empty.
    const std::vector<Figure> shown = figures(snapshots[i], kCsv);
    auto figure = shown.begin();
    for (const Figure& column : figures(Snapshot{}, kCsv)) {
      lines += ",";
      if (figure != shown.end() && figure->name == column.name) {
        lines += figure->value ? number_text(*figure->value) : "";
        ++figure;
      }
    }
    lines += "," + field(escape_text(snapshots[i].listener)) + "\n";
  }
  return lines;
}

}  // namespace monitor
