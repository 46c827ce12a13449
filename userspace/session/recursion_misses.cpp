// SPDX-License-Identifier: Apache-2.0
#include "session/recursion_misses.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace monitor {

Result<std::uint64_t> recursion_misses(const Objects& objects) {
  std::uint64_t misses = 0;
  for (std::size_t index = 0; index < kPrograms.size(); ++index) {
    const Program& program = objects.programs[index];
    if (!program || !kPrograms[index].misses_count) {
      continue;
    }
    bpf_prog_info info{};
    std::uint32_t size = sizeof(info);
    if (bpf_obj_get_info_by_fd(program.fd(), &info, &size) != 0) {
      return system_error(errno, "query the lost events of " + program.name());
    }
    misses += info.recursion_misses;
  }
  return misses;
}

}  // namespace monitor
