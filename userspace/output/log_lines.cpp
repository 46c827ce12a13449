// SPDX-License-Identifier: Apache-2.0
// The three log lines, one of times if asked for, and one for each warning. Their format is fixed, because grep and awk
// pipelines read it: a tag starts the line, and " | " separates the fields. If nothing is in flight, the second line is
// "[ENDPOINTS] none".
#include <fmt/format.h>

#include "output/endpoints.h"
#include "output/figures.h"
#include "output/percentiles.h"
#include "output/render.h"
#include "output/text.h"
#include "output/warnings.h"

namespace monitor {

std::vector<std::string> render_log_lines(const Snapshot& snapshot, bool latency) {
  std::string endpoints;
  for (const ActivePath& entry : active_paths(snapshot)) {
    endpoints += fmt::format("{}{}: {}", endpoints.empty() ? "" : " | ", entry.path, entry.active);
  }
  std::vector<std::string> lines = {
      fmt::format("[CONCURRENCY] Active: {}/{} | Total: {} | Failed: {} | Queue: {} | Uptime: {}\n", snapshot.active,
                  snapshot.peak, snapshot.total, snapshot.failed, snapshot.queue_depth,
                  format_uptime(snapshot.uptime_seconds)),
      fmt::format("[ENDPOINTS] {}\n", endpoints.empty() ? "none" : endpoints),
  };
  if (snapshot.system) {
    lines.push_back(fmt::format("[SYSTEM] CPU: {:.1f}% | Memory: {:.1f}MB | Threads: {}\n",
                                presentable(snapshot.cpu_percent), megabytes(snapshot.memory_bytes), snapshot.threads));
  }
  if (latency) {
    lines.push_back(fmt::format(
        "[LATENCY] Queue Wait: {} | First Byte: {} | Duration: {}\n", percentiles_text(snapshot.recent.queue_wait),
        percentiles_text(snapshot.recent.first_byte), percentiles_text(snapshot.recent.duration)));
  }
  for (const std::string& warning : warnings(snapshot)) {
    lines.push_back(fmt::format("[WARNING] {}\n", warning));
  }
  return lines;
}

}  // namespace monitor
