// SPDX-License-Identifier: Apache-2.0
// The counters of one target, which the hooks write.
#pragma once

#include <monitor/abi.h>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

Result<monitor_target> read_totals(const Objects& objects, unsigned target);

}  // namespace monitor
