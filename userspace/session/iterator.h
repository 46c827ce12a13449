// SPDX-License-Identifier: Apache-2.0
// Reads a BPF iterator once and returns the records that it wrote.
#pragma once

#include <bpf/bpf.h>

#include <vector>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// Returns all records of one reading. `info` restricts the iterator to a process or a map. A process that has ended has
// no records, which is not an error.
Result<std::vector<char>> read_iterator(const Program& program, bpf_iter_link_info& info);

}  // namespace monitor
