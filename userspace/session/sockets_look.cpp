// SPDX-License-Identifier: Apache-2.0
// One look at the sockets that a server's processes hold, as the kernel lists them.
#include <arpa/inet.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>

#include "session/engine_state.h"
#include "session/iterator.h"

namespace monitor {
namespace {

// include/net/tcp_states.h
constexpr std::uint8_t kSynSent = 2;
constexpr std::uint8_t kClose = 7;
constexpr std::uint8_t kListen = 10;

std::string listen_address(const monitor_socket& socket) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(socket.family, socket.local_address, buffer.data(), buffer.size());
  const std::string text = buffer.data();
  const std::string port = std::to_string(socket.local_port);
  return socket.family == AF_INET6 ? "[" + text + "]:" + port : text + ":" + port;
}

// Whether the server accepted it. What nothing was read from has no record: then its port tells.
bool is_accepted(const monitor_socket& socket, const std::vector<std::uint16_t>& ports) {
  if (socket.state == kListen || socket.state == kClose || socket.state == kSynSent) {
    return false;
  }
  return socket.role == ROLE_SERVER ||
         (socket.role == ROLE_UNKNOWN && std::binary_search(ports.begin(), ports.end(), socket.local_port));
}

}  // namespace

Result<SocketsLook> Engine::look_at_sockets(unsigned target, const std::vector<pid_t>& processes) {
  std::vector<monitor_socket> sockets;
  for (const pid_t pid : processes) {
    bpf_iter_link_info info{};
    info.task.pid = static_cast<std::uint32_t>(pid);
    Result<std::vector<char>> records = read_iterator(state_->bpf().progs.look_at_sockets, info);
    if (!records) {
      return std::move(records).error().within("look at the sockets of process " + std::to_string(pid));
    }
    for (std::size_t at = 0; at + sizeof(monitor_socket) <= records->size(); at += sizeof(monitor_socket)) {
      std::memcpy(&sockets.emplace_back(), records->data() + at, sizeof(monitor_socket));
    }
  }

  SocketsLook look;
  std::set<std::uint64_t> seen;
  for (const monitor_socket& socket : sockets) {
    if (socket.state != kListen) {
      continue;
    }
    look.listeners.push_back(static_cast<pid_t>(socket.pid));
    if (seen.insert(socket.address).second) {
      look.accept_queue += socket.backlog;
      look.listen.push_back(listen_address(socket));
      look.listen_ports.push_back(socket.local_port);
    }
  }
  const auto sort_unique = [](auto& values) {
    std::sort(values.begin(), values.end());
    values.erase(std::unique(values.begin(), values.end()), values.end());
  };
  sort_unique(look.listen);
  sort_unique(look.listen_ports);
  sort_unique(look.listeners);
  for (const monitor_socket& socket : sockets) {
    if (is_accepted(socket, look.listen_ports) && seen.insert(socket.address).second) {
      look.open_connections += 1;
      look.unread += socket.unread != 0 && socket.in_flight == 0 ? 1 : 0;
    }
  }
  auto& peak = state_->targets.at(target).peak_connections;
  peak = std::max(peak, look.open_connections);
  return look;
}

}  // namespace monitor
