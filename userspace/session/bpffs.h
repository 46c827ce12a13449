// SPDX-License-Identifier: Apache-2.0
// The BPF file system (bpffs), the only one that can hold pins. Private to session/.
#pragma once

#include <string>

#include "base/result.h"

namespace monitor {

// Fails unless the directory, which need not exist, lies on bpffs. Mounts it at /sys/fs/bpf for a directory directly
// below.
Status require_bpffs(const std::string& directory);

}  // namespace monitor
