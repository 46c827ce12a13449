// SPDX-License-Identifier: Apache-2.0
// Locks on directories (flock), held for as long as their descriptors are open. Private to session/.
#pragma once

#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

// Makes the directory, for its owner only, unless it exists.
Status make_directory(const std::string& path);

// Opens the directory without a lock.
Result<Fd> open_directory(const std::string& path);

enum class IfMissing { kFail, kMake };

// Locks the directory (LOCK_SH or LOCK_EX). Waits a few seconds for other processes, then fails and names the
// directory. The path still names the locked directory when this returns.
Result<Fd> lock_directory(const std::string& path, int operation, IfMissing missing = IfMissing::kFail);

// Takes the exclusive lock if no other process has one; else the descriptor is empty.
Fd try_lock_directory(const std::string& path);

}  // namespace monitor
