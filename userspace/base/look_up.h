// SPDX-License-Identifier: Apache-2.0
// Resolves a host name to socket addresses.
#pragma once

#include <netdb.h>

#include <memory>

#include "base/host_port.h"
#include "base/result.h"

namespace monitor {

using Addresses = std::unique_ptr<addrinfo, void (*)(addrinfo*)>;

// The addresses of `where` for sockets of the given type (SOCK_*), in the order in which to try them. `flags` is
// ai_flags of getaddrinfo(3). If the name does not resolve, the Error carries `hint`.
Result<Addresses> look_up(const HostPort& where, int type, int flags, const char* hint);

}  // namespace monitor
