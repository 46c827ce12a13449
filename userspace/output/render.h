// SPDX-License-Identifier: Apache-2.0
// Snapshot → text, pure: the box, the log lines and the JSON object. None of it prints.
#pragma once

#include <string>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

struct BoxStyle {
  bool color = false;
  bool unicode = true;   // false: drawn with ASCII
  bool latency = false;  // with the percentiles of times
};

// The box, 58 columns, every line ending in a newline.
std::string render_box(const Snapshot& snapshot, const BoxStyle& style);

// The boxes of the servers, one below another and separated by empty lines, each under a line that identifies the
// server, and under more lines if it is a guess or others were passed over. For no servers, an empty string.
std::string render_boxes(const std::vector<Snapshot>& snapshots, const BoxStyle& style);

// The three log lines in their order, each ending in a newline; without the third if CPU, memory and threads are
// hidden. With `latency` a line with the percentiles of times follows, and then a line for each warning. The caller
// writes each with one write.
std::vector<std::string> render_log_lines(const Snapshot& snapshot, bool latency = false);

// One JSON object on one line without a newline; docs/schema/snapshot.schema.json describes it. Always valid UTF-8.
std::string render_json(const Snapshot& snapshot);

}  // namespace monitor
