// SPDX-License-Identifier: Apache-2.0
// The address that something listens on, as an operator writes it.
#pragma once

#include <cstdint>
#include <string>

namespace monitor {

struct HostPort {
  std::string host;  // a name or an address, without brackets
  std::uint16_t port = 0;
  bool operator==(const HostPort&) const = default;
};

// "127.0.0.1:9464", "[::1]:9464"
inline std::string to_string(const HostPort& address) {
  const bool ipv6 = address.host.find(':') != std::string::npos;
  return (ipv6 ? "[" + address.host + "]" : address.host) + ":" + std::to_string(address.port);
}

}  // namespace monitor
