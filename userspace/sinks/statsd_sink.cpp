// SPDX-License-Identifier: Apache-2.0
#include "sinks/statsd_sink.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/look_up.h"
#include "output/statsd.h"

namespace monitor {

Result<StatsdSink> StatsdSink::open(const HostPort& server, bool tagged, Warn warn) {
  const std::string name = to_string(server);
  const Addresses addresses = TRY(look_up(server, SOCK_DGRAM, 0, "--statsd takes a name or an address, and a port"));
  int saved_errno = 0;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
    Fd socket{::socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (socket && ::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0) {
      return StatsdSink(std::move(socket), name, tagged, std::move(warn));
    }
    saved_errno = errno;
  }
  return system_error(saved_errno, "send to " + name);
}

StatsdSink::StatsdSink(Fd socket, std::string server, bool tagged, Warn warn)
    : socket_(std::move(socket)), server_(std::move(server)), tagged_(tagged), warn_(std::move(warn)) {}

Result<Written> StatsdSink::print(const std::vector<Snapshot>& snapshots) {
  int saved_errno = 0;
  for (const std::string& datagram : pack_datagrams(render_statsd(snapshots, before_, tagged_))) {
    // If a datagram was refused, the kernel fails the next send, which then sends nothing.
    if (::send(socket_.get(), datagram.data(), datagram.size(), 0) < 0) {
      saved_errno = errno;
      if (saved_errno == ECONNREFUSED) {
        static_cast<void>(::send(socket_.get(), datagram.data(), datagram.size(), 0));
      }
    }
  }
  before_ = snapshots;
  if (saved_errno != 0 && !warned_) {
    warn_(system_error(saved_errno, "send to " + server_));
  }
  warned_ = saved_errno != 0;
  return Written::kWhole;
}

}  // namespace monitor
