// SPDX-License-Identifier: Apache-2.0
// The addresses behind a name.
#pragma once

#include <netdb.h>

#include <memory>

#include "base/host_port.h"
#include "base/result.h"

namespace monitor {

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

// Those of `where` for sockets of that type (SOCK_*), the first one to be tried first; `flags` as of getaddrinfo(3).
// Fails with `hint` when the name is not known.
Result<Addresses> look_up(const HostPort& where, int type, int flags, const char* hint);

}  // namespace monitor
