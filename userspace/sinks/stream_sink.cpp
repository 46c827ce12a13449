// SPDX-License-Identifier: Apache-2.0
#include "sinks/stream_sink.h"

#include <unistd.h>

#include <chrono>

#include "output/csv.h"
#include "output/influx.h"
#include "output/prometheus.h"

namespace monitor {

std::string StreamSink::render(const std::vector<Snapshot>& snapshots) const {
  switch (format_) {
    case Format::kPrometheus: {
      SeriesChoice choice(style_.max_scrape);
      return render_prometheus(snapshots, Exposition::kPrometheus, style_.version, choice);
    }
    case Format::kInflux:
      return render_influx(snapshots, std::chrono::system_clock::now());
    case Format::kCsv:
      return (first_ && style_.csv_header ? csv_header() : "") +
             render_csv(snapshots, std::chrono::system_clock::now());
    case Format::kBox: {
      const std::string boxes = render_boxes(snapshots, style_.box);
      return (first_ || boxes.empty() ? "" : "\n") + boxes;
    }
    case Format::kJson:
      break;
  }
  std::string lines;
  for (const Snapshot& snapshot : snapshots) {
    lines += render_json(snapshot) + "\n";
  }
  return lines;
}

Result<Written> StreamSink::print(const std::vector<Snapshot>& snapshots) {
  const std::string text = render(snapshots);
  first_ = first_ && text.empty();
  return write_all(STDOUT_FILENO, text, "standard output");
}

int StreamSink::output() const {
  return STDOUT_FILENO;
}

}  // namespace monitor
