// SPDX-License-Identifier: Apache-2.0
// Events that the kernel dropped.
#pragma once

#include <cstdint>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// How often the kernel dropped an event because its program interrupted another run of itself on that CPU: the sum over
// the programs whose misses count.
Result<std::uint64_t> recursion_misses(const Objects& objects);

}  // namespace monitor
