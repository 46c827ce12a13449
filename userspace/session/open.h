// SPDX-License-Identifier: Apache-2.0
// Opens the maps and programs of a pinned engine, and checks that it is complete and has this version.
#pragma once

#include "base/result.h"
#include "session/links.h"
#include "session/objects.h"
#include "session/pins.h"

namespace monitor {

// Fails with kUnsupported if the engine has another ABI version, and with kFailed if a part of it is missing.
Result<Objects> open_objects(const Pins& pins);

// Fails if a hook of the pinned engine is no longer attached: then it counts too little.
Status check_attached(const Pins& pins, const Links& links, Profile profile);

}  // namespace monitor
