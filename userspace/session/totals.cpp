// SPDX-License-Identifier: Apache-2.0
#include "session/totals.h"

#include <bpf/bpf.h>

#include <cerrno>

namespace monitor {

Result<monitor_target> read_totals(const Objects& objects, unsigned target) {
  monitor_target totals{};
  if (bpf_map_lookup_elem(objects.map("targets").fd(), &target, &totals) != 0) {
    return system_error(errno, "read the map targets");
  }
  return totals;
}

}  // namespace monitor
