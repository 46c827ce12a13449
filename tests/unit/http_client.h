// SPDX-License-Identifier: Apache-2.0
// An HTTP client for tests that run the server's event loop in the same thread.
#pragma once

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>
#include <string_view>

#include "base/fd.h"
#include "http/server.h"

namespace monitor::test {

// A client's end of a connection. It blocks only to connect: bytes sent before that would be lost.
class Client {
 public:
  explicit Client(const HttpServer& server) : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_port = htons(server.address().port);
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    static_cast<void>(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof(address)));
  }

  void send(std::string_view bytes) const {
    static_cast<void>(::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL | MSG_DONTWAIT));
  }

  // Reads what has arrived.
  void receive() {
    std::array<char, 65536> piece{};
    for (ssize_t count = 1; count > 0;) {
      count = ::recv(fd_.get(), piece.data(), piece.size(), MSG_DONTWAIT);
      ended_ = ended_ || count == 0 || (count < 0 && errno != EAGAIN && errno != EINTR && errno != ENOTCONN);
      received_.append(piece.data(), count > 0 ? static_cast<std::size_t>(count) : 0);
    }
  }

  bool ended() const { return ended_; }
  const std::string& received() const { return received_; }

 private:
  Fd fd_;
  std::string received_;
  bool ended_ = false;
};

}  // namespace monitor::test
