// SPDX-License-Identifier: Apache-2.0
#include "session/objects.h"

namespace monitor {

Status Objects::share() {
  look = TRY(Shared<monitor_look>::of(map("look")));
  followed = TRY(Shared<FollowedBits>::of(map("followed")));
  return Ok{};
}

}  // namespace monitor
