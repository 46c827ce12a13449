// SPDX-License-Identifier: Apache-2.0
// Where files of this process's mount namespace are seen from outside of it.
#pragma once

#include <string>

#include "base/result.h"
#include "host/procfs.h"

namespace monitor {

// Fails with kUnsupported if the file system at `path` is mounted only in a mount namespace of our own, as in a
// container: the machine's first process has no mount of it. Succeeds if that process's mounts cannot be read.
Status check_host_sees(const ProcFs& proc, const std::string& path);

}  // namespace monitor
