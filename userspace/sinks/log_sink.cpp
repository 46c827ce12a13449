// SPDX-License-Identifier: Apache-2.0
#include "sinks/log_sink.h"

#include <string>

#include "output/render.h"

namespace monitor {

Result<Written> LogSink::print(const std::vector<Snapshot>& snapshots) {
  for (const Snapshot& snapshot : snapshots) {
    for (const std::string& line : render_log_lines(snapshot, latency_)) {
      if (TRY(file_.append(line)) == Written::kReaderGone) {
        return Written::kReaderGone;
      }
    }
  }
  return Written::kWhole;
}

}  // namespace monitor
