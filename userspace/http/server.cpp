// SPDX-License-Identifier: Apache-2.0
#include "http/server.h"

#include <netdb.h>
#include <netinet/in.h>
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
constexpr int kAcceptedAtOnce = 64;

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
    error.hint = "another program listens there; choose another port with --listen";
  } else if (saved_errno == EADDRNOTAVAIL) {
    error.hint = "this machine does not have that address; --listen takes one of its own";
  }
  return error;
}

// A name may have several addresses. Takes the first that is available.
Result<Fd> bind_first(const HostPort& address) {
  const Addresses addresses =
      TRY(look_up(address, SOCK_STREAM, AI_PASSIVE, "--listen takes an address or a name of this machine, and a port"));
  int saved_errno = 0;
  for (const addrinfo* one = addresses.get(); one != nullptr; one = one->ai_next) {
    Fd socket{::socket(one->ai_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)};
    const int on = 1;
    if (socket && ::setsockopt(socket.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) == 0 &&
        ::bind(socket.get(), one->ai_addr, one->ai_addrlen) == 0) {
      return socket;
    }
    saved_errno = errno;
  }
  return listen_error(saved_errno, to_string(address));
}

bool is_transient(int saved_errno) {
  return saved_errno == EAGAIN || saved_errno == EWOULDBLOCK || saved_errno == EINTR;
}

}  // namespace

Result<std::unique_ptr<HttpServer>> HttpServer::bind(EventLoop& loop, const HostPort& address, HttpHandler handler,
                                                     const HttpLimits& limits) {
  Fd socket = TRY(bind_first(address));
  const std::uint16_t port = port_of(socket.get());
  return std::make_unique<HttpServer>(loop, Bound{std::move(socket), {address.host, port}}, std::move(handler), limits);
}

HttpServer::HttpServer(EventLoop& loop, Bound bound, HttpHandler handler, const HttpLimits& limits)
    : loop_(loop),
      listener_(std::move(bound.socket)),
      address_(std::move(bound.address)),
      handler_(std::move(handler)),
      limits_(limits),
      overdue_(loop.timer([this] {
        end_overdue();
        return Ok{};
      })) {}

// New connections come last in each wait: one beyond the bound ends the oldest, which may just have sent its request.
Status HttpServer::listen() {
  if (::listen(listener_.get(), SOMAXCONN) != 0) {
    return listen_error(errno, to_string(address_));
  }
  arrivals_ = loop_.watch(
      listener_.get(), POLLIN,
      [this](short) {
        accept();
        return Ok{};
      },
      EventLoop::Rank::kLast);
  return Ok{};
}

void HttpServer::end_overdue() {
  const auto now = Clock::now();
  for (Connection& connection : connections_) {
    connection.ended = connection.due <= now;
  }
  remove_ended();
}

void HttpServer::remove_ended() {
  std::erase_if(connections_, [](const Connection& connection) { return connection.ended; });
  const auto first =
      std::min_element(connections_.begin(), connections_.end(),
                       [](const Connection& left, const Connection& right) { return left.due < right.due; });
  overdue_.set(first == connections_.end() ? std::nullopt : std::optional(first->due));
}

// Bounds the memory that clients hold by reading nothing. The newest response always has room.
void HttpServer::end_unsent() {
  std::size_t unsent = 0;
  std::for_each(connections_.rbegin(), connections_.rend(), [&](Connection& connection) {
    if (connection.state != Connection::State::kWriting || connection.ended) {
      return;
    }
    connection.ended = unsent > 0 && unsent + connection.bytes.size() > limits_.unsent_bytes;
    unsent += connection.ended ? 0 : connection.bytes.size();
  });
}

void HttpServer::accept() {
  for (int i = 0; i < kAcceptedAtOnce; ++i) {
    Fd socket{::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC | SOCK_NONBLOCK)};
    if (socket) {
      add(std::move(socket));
      continue;
    }
    const bool full = errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
    if (!full || connections_.empty()) {
      break;
    }
    connections_.pop_front();  // makes room for the client that waits
  }
  remove_ended();
}

void HttpServer::add(Fd socket) {
  if (connections_.size() >= limits_.connections) {
    connections_.pop_front();
  }
  Connection& connection = connections_.emplace_back(Connection{std::move(socket), Clock::now() + limits_.head});
  connection.watch = loop_.watch(connection.socket.get(), POLLIN | POLLRDHUP, [this, &connection](short) {
    advance(connection);
    remove_ended();
    return Ok{};
  });
  advance(connection);  // most requests are there already
  if (connection.ended) {
    connections_.pop_back();
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
  end_unsent();
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
  // The response to a head without an end is 431.
  connection.bytes = respond(std::string_view(head).substr(0, end == std::string::npos ? end : end + 4), handler_);
  connection.state = Connection::State::kWriting;
  connection.due = Clock::now() + limits_.response;
  connection.ended = connection.bytes.empty();
  connection.watch.change(POLLOUT);
  return true;
}

bool HttpServer::write(Connection& connection) const {
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
  // Closing while bytes of the client are unread would reset the connection, and the client could lose the response.
  ::shutdown(connection.socket.get(), SHUT_WR);
  connection.bytes = {};
  connection.state = Connection::State::kClosing;
  connection.due = Clock::now() + limits_.close;
  connection.watch.change(POLLIN | POLLRDHUP);
  return true;
}

bool HttpServer::drain(Connection& connection) {
  std::array<char, kPiece> piece{};
  const ssize_t count = ::recv(connection.socket.get(), piece.data(), piece.size(), 0);
  connection.ended = count == 0 || (count < 0 && !is_transient(errno));
  return false;  // one piece at a time: a client that sends without end does not delay the others
}

}  // namespace monitor
