// SPDX-License-Identifier: Apache-2.0
// Runs a BPF iterator once and hands out the records it wrote.
#pragma once

#include <bpf/bpf.h>

#include <vector>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// Everything that one reading of the iterator gives. `info` restricts it (a process, a map). A process that is gone
// gives nothing and is no error.
Result<std::vector<char>> read_iterator(const Program& program, bpf_iter_link_info& info);

}  // namespace monitor
