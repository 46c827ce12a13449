// SPDX-License-Identifier: Apache-2.0
#include "cli/statsd_printer.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <string>
#include <utility>

#include "base/look_up.h"
#include "output/statsd.h"

namespace monitor {

Result<StatsdPrinter> StatsdPrinter::open(const HostPort& server, bool tagged, std::function<void(const Error&)> warn) {
  const std::string name = to_string(server);
  const Result<Addresses> addresses = look_up(server, SOCK_DGRAM, 0, "--statsd takes a name or an address, and a port");
  if (!addresses) {
    return addresses.error();
  }
  int saved_errno = 0;
  for (const addrinfo* address = addresses->get(); address != nullptr; address = address->ai_next) {
    Fd socket{::socket(address->ai_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    if (socket && ::connect(socket.get(), address->ai_addr, address->ai_addrlen) == 0) {
      return StatsdPrinter(std::move(socket), name, tagged, std::move(warn));
    }
    saved_errno = errno;
  }
  return system_error(saved_errno, "send to " + name);
}

StatsdPrinter::StatsdPrinter(Fd socket, std::string server, bool tagged, std::function<void(const Error&)> warn)
    : socket_(std::move(socket)), server_(std::move(server)), tagged_(tagged), warn_(std::move(warn)) {}

Result<Written> StatsdPrinter::print(const std::vector<Snapshot>& snapshots) {
  int saved_errno = 0;
  for (const std::string& datagram : pack_datagrams(render_statsd(snapshots, before_, tagged_))) {
    // The refusal of one datagram is told to the send behind it, which is then not done.
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
