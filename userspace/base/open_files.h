// SPDX-License-Identifier: Apache-2.0
// The limit of open files (ulimit -n). An engine has a descriptor for each map, program and link, and each server one
// more.
#pragma once

#include "base/result.h"

namespace monitor {

// What a command needs that observes a few servers.
inline constexpr unsigned long kOpenFilesNeeded = 128;

// Raises the limit as far as this process may by itself. Fails if that is less than a command needs.
Status raise_open_files();

}  // namespace monitor
