// SPDX-License-Identifier: Apache-2.0
// Percentiles of times as people read them.
#pragma once

#include <string>

#include "model/latency.h"

namespace monitor {

// "0.12/105/1050 ms (n 200)": p50, p95 and p99, each with three digits; "<0.1" for what is below 0.1 ms. Of fewer than
// 20 requests "n<20, max 105 ms", because their percentiles say little; "none" without requests.
std::string percentiles_text(const Latency& latency);

}  // namespace monitor
