// SPDX-License-Identifier: Apache-2.0
#include "serve/http_server.h"

#include <netdb.h>
#include <netinet/in.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <string_view>
#include <utility>

#include "base/look_up.h"

namespace monitor {
namespace {

constexpr std::size_t kPiece = 4096;
constexpr int kEventsAtOnce = 64;
constexpr int kAcceptedAtOnce = 64;

struct Bound {
  Fd socket;
  std::uint16_t port = 0;
};

std::uint16_t port_of(int socket) {
  sockaddr_storage address{};
  socklen_t length = sizeof(address);
  std::array<char, NI_MAXSERV> port{};
  auto* const generic = reinterpret_cast<sockaddr*>(&address);
  if (::getsockname(socket, generic, &length) != 0 ||
      ::getnameinfo(generic, length, nullptr, 0, port.data(), port.size(), NI_NUMERICSERV) != 0) {
    return 0;
  }
  return static_cast<std::uint16_t>(std::stoul(port.data()));
}

Error listen_error(int saved_errno, const std::string& name) {
  const bool refused = saved_errno == EACCES || saved_errno == EPERM;
  Error error = system_error(saved_errno, "listen on " + name, refused ? ErrorCode::kNotPermitted : ErrorCode::kFailed);
  if (saved_errno == EADDRINUSE) {
    error.hint = "something else listens there: give another port with --listen";
  } else if (saved_errno == EADDRNOTAVAIL) {
    error.hint = "this machine has no such address: --listen takes one of its own";
  }
  return error;
}

// A name may stand for several addresses; the first that can be had is it.
Result<Bound> bind_first(const HostPort& address) {
  const Result<Addresses> addresses =
      look_up(address, SOCK_STREAM, AI_PASSIVE, "--listen takes an address or a name of this machine, and a port");
  if (!addresses) {
    return addresses.error();
  }
  int saved_errno = 0;
  for (const addrinfo* one = addresses->get(); one != nullptr; one = one->ai_next) {
    Fd socket{::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    if (socket && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        ::bind(socket.get(), one->ai_addr, one->ai_addrlen) == 0 && ::listen(socket.get(), SOMAXCONN) == 0) {
      const std::uint16_t port = port_of(socket.get());
      return Bound{std::move(socket), port};
    }
    saved_errno = errno;
  }
  return listen_error(saved_errno, to_string(address));
}

bool is_transient(int saved_errno) {
  return saved_errno == EAGAIN || saved_errno == EWOULDBLOCK || saved_errno == EINTR;
}

}  // namespace

Result<HttpServer> HttpServer::listen(const HostPort& address, HttpHandler handler, const HttpLimits& limits) {
  Result<Bound> bound = bind_first(address);
  if (!bound) {
    return std::move(bound).error();
  }
  Fd epoll{::epoll_create1(EPOLL_CLOEXEC)};
  epoll_event event{};
  event.events = EPOLLIN;
  event.data.ptr = nullptr;  // the listening socket
  if (!epoll || ::epoll_ctl(epoll.get(), EPOLL_CTL_ADD, bound->socket.get(), &event) != 0) {
    return system_error(errno, "wait for connections");
  }
  return HttpServer(std::move(bound->socket), std::move(epoll), {address.host, bound->port}, std::move(handler),
                    limits);
}

HttpServer::HttpServer(Fd listener, Fd epoll, HostPort address, HttpHandler handler, const HttpLimits& limits)
    : listener_(std::move(listener)),
      epoll_(std::move(epoll)),
      address_(std::move(address)),
      handler_(std::move(handler)),
      limits_(limits) {}

std::optional<HttpServer::Clock::time_point> HttpServer::due() const {
  const auto first =
      std::min_element(connections_.begin(), connections_.end(),
                       [](const Connection& left, const Connection& right) { return left.due < right.due; });
  return first == connections_.end() ? std::nullopt : std::optional(first->due);
}

void HttpServer::watch(Connection& connection, std::uint32_t events, int operation) const {
  epoll_event event{};
  event.events = events;
  event.data.ptr = &connection;
  static_cast<void>(::epoll_ctl(epoll_.get(), operation, connection.socket.get(), &event));
}

void HttpServer::work() {
  std::array<epoll_event, kEventsAtOnce> events{};
  const int count = ::epoll_wait(epoll_.get(), events.data(), kEventsAtOnce, 0);
  bool arrived = false;
  for (int i = 0; i < count; ++i) {
    auto* const connection = static_cast<Connection*>(events.at(static_cast<std::size_t>(i)).data.ptr);
    if (connection == nullptr) {
      arrived = true;
    } else {
      advance(*connection);
    }
  }
  const auto now = Clock::now();
  std::erase_if(connections_, [now](const Connection& one) { return one.ended || one.due <= now; });
  bound_unsent();
  // Behind the others, whose connections the events name.
  if (arrived) {
    accept();
  }
}

// Clients that read nothing hold no more than so much memory. The newest response always has room.
void HttpServer::bound_unsent() {
  std::size_t unsent = 0;
  std::for_each(connections_.rbegin(), connections_.rend(), [&](Connection& one) {
    const bool writes = one.state == Connection::State::kWriting;
    one.ended = writes && unsent > 0 && unsent + one.bytes.size() > limits_.unsent_bytes;
    unsent += writes && !one.ended ? one.bytes.size() : 0;
  });
  std::erase_if(connections_, [](const Connection& one) { return one.ended; });
}

void HttpServer::accept() {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    Fd socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (!socket) {
      const bool full = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
      if (full && !connections_.empty()) {
        connections_.pop_front();  // makes room for whoever waits
        continue;
      }
      return;
    }
    if (connections_.size() >= limits_.connections) {
      connections_.pop_front();
    }
    connections_.push_back({std::move(socket), Clock::now() + limits_.head, {}, 0, {}, false});
    Connection& connection = connections_.back();
    watch(connection, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_ADD);
    advance(connection);  // most requests are there already
    if (connection.ended) {
      connections_.pop_back();
    }
  }
}

void HttpServer::advance(Connection& connection) {
  bool more = true;
  while (more && !connection.ended) {
    switch (connection.state) {
      case Connection::State::kReading:
        more = read(connection);
        break;
      case Connection::State::kWriting:
        more = write(connection);
        break;
      case Connection::State::kClosing:
        more = drain(connection);
        break;
    }
  }
}

bool HttpServer::read(Connection& connection) {
  std::array<char, kPiece> piece{};
  const ssize_t count = ::recv(connection.socket.get(), piece.data(), piece.size(), 0);
  if (count <= 0) {
    connection.ended = count == 0 || !is_transient(errno);
    return false;
  }
  std::string& head = connection.bytes;
  head.append(piece.data(), static_cast<std::size_t>(count));
  const std::size_t end = head.find("\r\n\r\n");
  if (end == std::string::npos && head.size() < limits_.head_bytes) {
    return true;
  }
  // One without an end is answered too: 431.
  connection.bytes = respond(std::string_view(head).substr(0, end == std::string::npos ? end : end + 4), handler_);
  connection.state = Connection::State::kWriting;
  connection.due = Clock::now() + limits_.response;
  connection.ended = connection.bytes.empty();
  watch(connection, EPOLLOUT, EPOLL_CTL_MOD);
  return true;
}

bool HttpServer::write(Connection& connection) {
  const std::string_view left = std::string_view(connection.bytes).substr(connection.sent);
  const ssize_t count = ::send(connection.socket.get(), left.data(), left.size(), MSG_NOSIGNAL);
  if (count < 0) {
    connection.ended = !is_transient(errno);
    return false;
  }
  connection.sent += static_cast<std::size_t>(count);
  connection.due = Clock::now() + limits_.response;
  if (connection.sent < connection.bytes.size()) {
    return true;
  }
  // Closing with bytes of the client unread would reset the connection and take the response from him.
  ::shutdown(connection.socket.get(), SHUT_WR);
  connection.bytes = {};
  connection.state = Connection::State::kClosing;
  connection.due = Clock::now() + limits_.close;
  watch(connection, EPOLLIN | EPOLLRDHUP, EPOLL_CTL_MOD);
  return true;
}

bool HttpServer::drain(Connection& connection) {
  std::array<char, kPiece> piece{};
  const ssize_t count = ::recv(connection.socket.get(), piece.data(), piece.size(), 0);
  connection.ended = count == 0 || (count < 0 && !is_transient(errno));
  return false;  // one piece a turn: whoever sends without end has his second, and not ours
}

}  // namespace monitor
