// SPDX-License-Identifier: Apache-2.0
// Snapshots → what Prometheus scrapes, pure. docs/integrations.md lists the metrics.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

enum class Exposition {
  kPrometheus,   // text/plain; version=0.0.4
  kOpenMetrics,  // application/openmetrics-text; version=1.0.0
};

// Which one a client prefers by its field Accept (RFC 9110 §12.5.1): OpenMetrics only when it is named.
Exposition choose_exposition(std::string_view accept);

// The Content-Type of each.
const char* content_type(Exposition exposition);

// One document of all servers. `version` is this program's. Always valid UTF-8.
std::string render_prometheus(const std::vector<Snapshot>& snapshots, Exposition exposition, std::string_view version);

}  // namespace monitor
