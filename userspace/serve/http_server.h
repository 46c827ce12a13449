// SPDX-License-Identifier: Apache-2.0
// The sockets of an HTTP server, in one thread and never waiting: a client that is slow, silent or hostile costs a
// descriptor and some memory until its time is over, and nobody else's time.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <list>
#include <optional>
#include <string>

#include "base/fd.h"
#include "base/host_port.h"
#include "base/result.h"
#include "serve/http.h"

namespace monitor {

struct HttpLimits {
  std::size_t connections = 256;  // a new one beyond them ends the oldest
  std::size_t head_bytes = 8192;
  std::size_t unsent_bytes = 64U << 20;      // of all responses together; one more ends the oldest of them
  std::chrono::milliseconds head{5000};      // from the connection's begin to the end of its request's head
  std::chrono::milliseconds response{5000};  // the longest that a client takes none of its response
  std::chrono::milliseconds close{1000};     // for the client to close, once it has its response
};

class HttpServer {
 public:
  using Clock = std::chrono::steady_clock;

  // Listens. Fails with kFailed when the name is not known or the address cannot be had, kNotPermitted when it must
  // not.
  static Result<HttpServer> listen(const HostPort& address, HttpHandler handler, const HttpLimits& limits = {});

  // Where it listens, the port that the kernel chose for 0.
  const HostPort& address() const { return address_; }

  // Readable when there is something for work() to do.
  int fd() const { return epoll_.get(); }

  // When work() is to be called at the latest; none while there are no connections.
  std::optional<Clock::time_point> due() const;

  // Does all that can be done without waiting: accepts, reads, answers, writes, and ends what took too long.
  void work();

  std::size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    Fd socket;
    Clock::time_point due;
    std::string bytes;     // of the request so far, then of the response
    std::size_t sent = 0;  // of the response
    enum class State { kReading, kWriting, kClosing } state = State::kReading;
    bool ended = false;
  };
  using Connections = std::list<Connection>;

  HttpServer(Fd listener, Fd epoll, HostPort address, HttpHandler handler, const HttpLimits& limits);

  void accept();
  void bound_unsent();
  void advance(Connection& connection);
  // Each: whether there may be more to do at once.
  bool read(Connection& connection);
  bool write(Connection& connection);
  static bool drain(Connection& connection);
  void watch(Connection& connection, std::uint32_t events, int operation) const;

  Fd listener_;
  Fd epoll_;
  HostPort address_;
  HttpHandler handler_;
  HttpLimits limits_;
  Connections connections_;  // the oldest first
};

}  // namespace monitor
