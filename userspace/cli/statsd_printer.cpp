// SPDX-License-Identifier: Apache-2.0
#include "cli/statsd_printer.h"

#include <netdb.h>
#include <sys/socket.h>

#include <cerrno>
#include <memory>
#include <string>
#include <utility>

#include "output/statsd.h"

namespace monitor {

Result<StatsdPrinter> StatsdPrinter::open(const HostPort& server, bool tagged, std::function<void(const Error&)> warn) {
  const std::string name = to_string(server);
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;
  addrinfo* found = nullptr;
  const int status = ::getaddrinfo(server.host.c_str(), std::to_string(server.port).c_str(), &hints, &found);
  if (status != 0) {
    return Error{ErrorCode::kFailed, "look up " + server.host + ": " + ::gai_strerror(status),
                 "--statsd takes a name or an address, and a port"};
  }
  const std::unique_ptr<addrinfo, void (*)(addrinfo*)> addresses(found, ::freeaddrinfo);
  int saved_errno = 0;
  for (const addrinfo* address = addresses.get(); address != nullptr; address = address->ai_next) {
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
