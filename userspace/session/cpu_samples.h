// SPDX-License-Identifier: Apache-2.0
// The CPU samples in the map `cpu_samples`: Engine::exchange_cpu keeps them for the next command.
#pragma once

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// Deletes the samples of processes that no target has any more.
Status forget_cpu_samples(const Objects& objects);

}  // namespace monitor
