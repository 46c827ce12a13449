// SPDX-License-Identifier: Apache-2.0
// Corrects the counters after lost events: compares what they count as in flight with the live records. Judges only
// counters that do not change meanwhile, and corrects a surplus once two calls in a row have found it.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "session/engine_state.h"
#include "session/objects.h"

namespace monitor {

// Does nothing unless events were lost since the counters were last found right, or the last comparison was long ago.
// `misses` is the current count of recursion_misses. The caller holds the lock: two processes that correct the same
// surplus would both subtract it.
Status reconcile(const Objects& objects, unsigned target, TargetState& state, std::uint64_t misses);

}  // namespace monitor
