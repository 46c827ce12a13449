// SPDX-License-Identifier: Apache-2.0
#include "session/objects.h"

namespace monitor {

Status Objects::share() {
  iter_request = TRY(Shared<monitor_iter_request>::of(map("iter_request")));
  followed = TRY(Shared<FollowedBits>::of(map("followed")));
  orphaned_ns = TRY(Shared<std::uint64_t>::of(map("orphaned_ns")));
  served = TRY(Shared<monitor_served>::of(map("served")));
  evictions = TRY(Shared<monitor_evictions>::of(map("evictions")));
  return Ok{};
}

}  // namespace monitor
