// SPDX-License-Identifier: Apache-2.0
// The formats that standard output can have. Log lines and StatsD datagrams have sinks of their own.
#pragma once

namespace monitor {

enum class Format { kBox, kJson, kPrometheus, kCsv, kInflux };

}  // namespace monitor
