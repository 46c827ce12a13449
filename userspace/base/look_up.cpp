// SPDX-License-Identifier: Apache-2.0
#include "base/look_up.h"

#include <string>

namespace monitor {

Result<Addresses> look_up(const HostPort& where, int type, int flags, const char* hint) {
  addrinfo hints{};
  hints.ai_socktype = type;
  hints.ai_flags = flags;
  addrinfo* found = nullptr;
  const int status = ::getaddrinfo(where.host.c_str(), std::to_string(where.port).c_str(), &hints, &found);
  if (status != 0) {
    return Error{ErrorCode::kFailed, "look up " + where.host + ": " + ::gai_strerror(status), hint};
  }
  return Addresses(found, ::freeaddrinfo);
}

}  // namespace monitor
