// SPDX-License-Identifier: Apache-2.0
// The settings of a target in the map `target_settings`. One process at a time writes them: the one that holds the
// lock, or the only one.
#pragma once

#include <monitor/abi.h>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

Result<monitor_target_settings> read_settings(const Objects& objects, unsigned target);
Status write_settings(const Objects& objects, unsigned target, const monitor_target_settings& settings);
Status set_state(const Objects& objects, unsigned target, monitor_target_state state);

}  // namespace monitor
