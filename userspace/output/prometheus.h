// SPDX-License-Identifier: Apache-2.0
// Snapshots → the document that Prometheus scrapes, pure. docs/metrics.md lists the metrics.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "model/snapshot.h"
#include "output/series_choice.h"

namespace monitor {

enum class Exposition {
  kPrometheus,   // text/plain; version=0.0.4
  kOpenMetrics,  // application/openmetrics-text; version=1.0.0
};

// The format that a client prefers by its Accept field (RFC 9110 §12.5.1): OpenMetrics only if the field names it.
Exposition choose_exposition(std::string_view accept);

// The Content-Type of a format.
const char* content_type(Exposition exposition);

// One document for all servers, always valid UTF-8. `version` is this program's. `choice` limits its size, and
// remembers which endpoints the last document had.
std::string render_prometheus(const std::vector<Snapshot>& snapshots, Exposition exposition, std::string_view version,
                              SeriesChoice& choice);

}  // namespace monitor
