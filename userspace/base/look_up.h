// SPDX-License-Identifier: Apache-2.0
// The addresses of a name.
#pragma once

#include <netdb.h>

#include <memory>

#include "base/host_port.h"
#include "base/result.h"

namespace monitor {

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

// The addresses of `where` for sockets of that type (SOCK_*), in the order in which to try them; `flags` are those of
// getaddrinfo(3). Fails with `hint` if the name is unknown.
Result<Addresses> look_up(const HostPort& where, int type, int flags, const char* hint);

}  // namespace monitor
