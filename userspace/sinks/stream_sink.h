// SPDX-License-Identifier: Apache-2.0
// Samples on standard output, one after another, in any of the formats.
#pragma once

#include <cstddef>
#include <string>
#include <utility>
#include <vector>

#include "output/render.h"
#include "output/series_choice.h"
#include "sinks/format.h"
#include "sinks/sink.h"

namespace monitor {

// How the text looks, apart from its format.
struct StreamStyle {
  BoxStyle box;
  bool csv_header = true;
  std::string version;                    // of this program, which --prometheus names
  std::size_t max_scrape = kUsualScrape;  // bytes, with --prometheus
};

class StreamSink : public Sink {
 public:
  StreamSink(Format format, StreamStyle style) : format_(format), style_(std::move(style)) {}
  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  int output() const override;

 private:
  std::string render(const std::vector<Snapshot>& snapshots) const;

  Format format_;
  StreamStyle style_;
  bool first_ = true;  // nothing has been printed yet
};

}  // namespace monitor
