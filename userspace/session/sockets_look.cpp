// SPDX-License-Identifier: Apache-2.0
// One look at the sockets that a server's processes hold, as the kernel lists them.
#include <arpa/inet.h>
#include <bpf/libbpf.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "session/engine_state.h"
#include "session/iterator.h"

namespace monitor {
namespace {

// include/net/tcp_states.h
constexpr std::uint8_t kSynSent = 2;
constexpr std::uint8_t kClose = 7;
constexpr std::uint8_t kListen = 10;

// A socket as the iterator tells it.
struct ListedSocket : monitor_socket {
  std::string name;  // of a listening Unix socket
};

// A path can hold any byte but NUL; who prints it escapes it. An abstract name is shown as the kernel shows it, with @.
std::string unix_name(std::string name) {
  if (!name.empty() && name.front() == '\0') {
    name.front() = '@';
  } else {
    name.resize(std::min(name.find('\0'), name.size()));  // the length may count the NUL at its end
  }
  return "unix:" + name;
}

std::string listen_address(const ListedSocket& socket) {
  if (socket.family == AF_UNIX) {
    return unix_name(socket.name);
  }
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(socket.family, socket.local_address, buffer.data(), buffer.size());
  const std::string text = buffer.data();
  const std::string port = std::to_string(socket.local_port);
  return socket.family == AF_INET6 ? "[" + text + "]:" + port : text + ":" + port;
}

// Whether the server accepted it. What nothing was read from has no record: then its port or name tells.
bool is_accepted(const ListedSocket& socket, const std::vector<std::uint16_t>& ports) {
  if (socket.state == kListen || socket.state == kClose || socket.state == kSynSent) {
    return false;
  }
  if (socket.role != ROLE_UNKNOWN) {
    return socket.role == ROLE_SERVER;
  }
  return socket.family == AF_UNIX ? socket.named != 0
                                  : std::binary_search(ports.begin(), ports.end(), socket.local_port);
}

SocketIdentity identity(const ListedSocket& socket) {
  return {socket.address, socket.inode};
}

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

Status list_sockets(engine_bpf& bpf, pid_t pid, std::vector<ListedSocket>& sockets) {
  bpf_iter_link_info info{};
  info.task.pid = static_cast<std::uint32_t>(pid);
  Result<std::vector<char>> records = read_iterator(bpf.progs.look_at_sockets, info);
  if (!records) {
    return std::move(records).error().within("look at the sockets of process " + std::to_string(pid));
  }
  std::size_t at = 0;
  const auto take = [&](void* to, std::size_t size) {
    const bool there = at + size <= records->size();
    if (there) {
      std::memcpy(to, records->data() + at, size);
    }
    at += size;
    return there;
  };
  for (ListedSocket socket; take(static_cast<monitor_socket*>(&socket), sizeof(monitor_socket));) {
    monitor_unix_name name{};
    if (socket.family == AF_UNIX && socket.state == kListen && take(&name, sizeof(name))) {
      socket.name.assign(name.name, std::min<std::size_t>(name.length, sizeof(name.name)));
    }
    sockets.push_back(std::exchange(socket, ListedSocket{}));
  }
  return Ok{};
}

// What listens, each socket once however many processes hold it.
void add_listeners(const std::vector<ListedSocket>& sockets, SocketsLook& look) {
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (socket.state != kListen) {
      continue;
    }
    look.listeners.push_back(static_cast<pid_t>(socket.pid));
    if (seen.insert(identity(socket)).second) {
      look.accept_queue += socket.backlog;
      look.listen.push_back(listen_address(socket));
      if (socket.family != AF_UNIX) {
        look.listen_ports.push_back(socket.local_port);
      }
    }
  }
  sort_unique(look.listen);
  sort_unique(look.listen_ports);
  sort_unique(look.listeners);
}

// The same of accepted connections. Returns those that were read from and have no record, with a process that holds it.
std::map<SocketIdentity, pid_t> add_connections(const std::vector<ListedSocket>& sockets, SocketsLook& look) {
  std::map<SocketIdentity, pid_t> unseen;
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (!is_accepted(socket, look.listen_ports) || !seen.insert(identity(socket)).second) {
      continue;
    }
    look.open_connections += 1;
    look.unread += socket.unread != 0 && socket.in_flight == 0 ? 1 : 0;
    if (socket.role == ROLE_UNKNOWN && socket.unseen != 0) {
      unseen[identity(socket)] = static_cast<pid_t>(socket.pid);
    }
  }
  return unseen;
}

// What was read without an event (io_uring, splice) for two looks in a row gets a record, and is an undercount. Once
// could be a receive whose event is still under way.
Status take_in_unseen(engine_bpf& bpf, unsigned target, TargetState& state,
                      const std::map<SocketIdentity, pid_t>& unseen) {
  std::set<SocketIdentity> now;
  for (const auto& [socket, pid] : unseen) {
    now.insert(socket);
    if (!state.unseen.contains(socket)) {
      continue;
    }
    bpf.bss->adopting_unseen = socket.first;
    bpf.bss->adopting = target + 1;
    std::vector<ListedSocket> ignored;
    Status status = list_sockets(bpf, pid, ignored);
    bpf.bss->adopting = 0;
    bpf.bss->adopting_unseen = 0;
    if (!status) {
      return status;
    }
  }
  state.unseen = std::move(now);
  return Ok{};
}

bool listens_on_unix(const std::vector<ListedSocket>& sockets) {
  return std::any_of(sockets.begin(), sockets.end(),
                     [](const ListedSocket& socket) { return socket.family == AF_UNIX && socket.state == kListen; });
}

}  // namespace

Result<SocketsLook> Engine::look_at_sockets(unsigned target, const std::vector<pid_t>& processes) {
  auto& bpf = state_->bpf();
  auto& remembered = state_->targets.at(target);
  // The records before the processes, and these before their sockets: what is made meanwhile is no reason to think that
  // a record's socket has gone.
  const Result<std::vector<monitor_live>> records = read_addressed_records(bpf, target);
  if (!records) {
    return records.error();
  }
  Result<std::vector<pid_t>> followed = this->processes(target);
  if (!followed) {
    return std::move(followed).error();
  }
  followed->insert(followed->end(), processes.begin(), processes.end());
  sort_unique(*followed);
  std::vector<ListedSocket> sockets;
  for (const pid_t pid : *followed) {
    if (Status status = list_sockets(bpf, pid, sockets); !status) {
      return std::move(status).error();
    }
  }
  if (listens_on_unix(sockets)) {
    if (Status status = attach_unix_hooks(bpf, state_->unix_hooks); !status) {
      return std::move(status).error();
    }
  }
  if (!records->empty() || !remembered.swept.empty()) {
    std::set<SocketIdentity> open;
    std::transform(sockets.begin(), sockets.end(), std::inserter(open, open.end()), identity);
    if (Status status = sweep(bpf, remembered, *records, open); !status) {
      return std::move(status).error();
    }
  }
  SocketsLook look;
  add_listeners(sockets, look);
  const std::map<SocketIdentity, pid_t> unseen = add_connections(sockets, look);
  if (Status status = take_in_unseen(bpf, target, remembered, unseen); !status) {
    return std::move(status).error();
  }
  remembered.peak_connections = std::max(remembered.peak_connections, look.open_connections);
  return look;
}

}  // namespace monitor
