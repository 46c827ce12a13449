// SPDX-License-Identifier: Apache-2.0
#include "output/named_figures.h"

#include <fmt/format.h>

#include "output/figures.h"

namespace monitor {

std::vector<NamedFigure> named_figures(const Snapshot& snapshot) {
  std::vector<NamedFigure> figures = {
      {"active_concurrent", snapshot.active},   {"peak_concurrent", snapshot.peak},
      {"total_requests", snapshot.total, true}, {"failed_requests", snapshot.failed, true},
      {"queue_depth", snapshot.queue_depth},
  };
  if (snapshot.system) {
    figures.push_back({"cpu_percent", rounded(snapshot.cpu_percent)});
    figures.push_back({"memory_mb", rounded(megabytes(snapshot.memory_bytes))});
    figures.push_back({"threads", std::uint64_t{snapshot.threads}});
  }
  const std::vector<NamedFigure> others = {
      {"uptime_seconds", rounded(snapshot.uptime_seconds)}, {"observed_seconds", rounded(snapshot.observed_seconds)},
      {"open_connections", snapshot.open_connections},      {"peak_connections", snapshot.peak_connections},
      {"aborted_requests", snapshot.aborted, true},         {"refused_requests", snapshot.refused, true},
      {"rejected_requests", snapshot.rejected, true},       {"websockets_active", snapshot.websockets},
      {"undercount", undercount_sum(snapshot), true},
  };
  figures.insert(figures.end(), others.begin(), others.end());
  return figures;
}

std::string number_text(const Number& number) {
  return std::visit([](const auto& value) { return fmt::format("{}", value); }, number);
}

}  // namespace monitor
