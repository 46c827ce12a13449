// SPDX-License-Identifier: Apache-2.0
// Loads the BPF objects into the kernel. The results are descriptors; no object of libbpf stays in memory.
#pragma once

#include "base/result.h"
#include "session/engine.h"
#include "session/objects.h"
#include "session/parts.h"

namespace monitor {

// Loads the programs of the part "core" and all maps. Fails as Engine::load does.
Result<Objects> load_objects(const EngineOptions& options);

// Loads the programs of another part and adds them to `objects`; they use the maps of `objects`.
Status load_part(Objects& objects, PartId part);

}  // namespace monitor
