// SPDX-License-Identifier: Apache-2.0
// The sockets of an HTTP server on an event loop. It never blocks: a client that is slow, silent or hostile costs a
// descriptor and some memory until its time is up, and delays no other client.
#pragma once

#include <chrono>
#include <cstddef>
#include <list>
#include <memory>
#include <string>

#include "base/event_loop.h"
#include "base/fd.h"
#include "base/host_port.h"
#include "base/result.h"
#include "http/message.h"

namespace monitor {

struct HttpLimits {
  std::size_t connections = 256;  // one more ends the oldest
  std::size_t head_bytes = 8192;
  std::size_t unsent_bytes = 64U << 20;      // of all responses together; one more response ends the oldest of them
  std::chrono::milliseconds head{5000};      // from the start of the connection to the end of the request's head
  std::chrono::milliseconds response{5000};  // the longest time in which a client reads nothing of its response
  std::chrono::milliseconds close{1000};     // for the client to close the connection after the response
};

class HttpServer {
  struct Bound {
    Fd socket;
    HostPort address;
  };

 public:
  using Clock = EventLoop::Clock;

  // Takes the address; connections are refused before listen(). `loop` outlives the server. Fails with kFailed if the
  // name is unknown or the address unavailable, with kNotPermitted if this process may not listen there.
  static Result<std::unique_ptr<HttpServer>> bind(EventLoop& loop, const HostPort& address, HttpHandler handler,
                                                  const HttpLimits& limits = {});

  // From now on, serves in each wait of the loop.
  Status listen();

  // For bind().
  HttpServer(EventLoop& loop, Bound bound, HttpHandler handler, const HttpLimits& limits);
  HttpServer(const HttpServer&) = delete;
  HttpServer& operator=(const HttpServer&) = delete;
  ~HttpServer() = default;

  // Its address; for port 0 with the port that the kernel chose.
  const HostPort& address() const { return address_; }

  std::size_t connections() const { return connections_.size(); }

 private:
  struct Connection {
    Fd socket;
    Clock::time_point due;  // ended then, at the latest
    EventLoop::Watch watch{};
    std::string bytes{};   // of the request so far, then of the response
    std::size_t sent = 0;  // of the response
    enum class State { kReading, kWriting, kClosing } state = State::kReading;
    bool ended = false;
  };
  using Connections = std::list<Connection>;

  void accept();
  void add(Fd socket);
  void end_overdue();
  void end_unsent();
  // Removes the connections that have ended, and sets the timer for the next one that is overdue.
  void remove_ended();
  void advance(Connection& connection);
  // Each returns whether the caller should advance the connection again at once.
  bool read(Connection& connection);
  bool write(Connection& connection) const;
  static bool drain(Connection& connection);

  EventLoop& loop_;
  Fd listener_;
  HostPort address_;
  HttpHandler handler_;
  HttpLimits limits_;
  EventLoop::Watch arrivals_{};
  EventLoop::Timer overdue_;
  Connections connections_;  // the oldest first
};

}  // namespace monitor
