// SPDX-License-Identifier: Apache-2.0
// One look at the sockets that a server's processes hold, as the kernel lists them.
#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <iterator>
#include <map>
#include <set>
#include <utility>

#include "session/engine_state.h"
#include "session/iterator.h"
#include "session/run_program.h"

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

Status list_sockets(const Objects& objects, pid_t pid, std::vector<ListedSocket>& sockets) {
  bpf_iter_link_info info{};
  info.task.pid = static_cast<std::uint32_t>(pid);
  Result<std::vector<char>> records = read_iterator(objects.iterate_sockets, info);
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

// The same of accepted connections.
void add_connections(const std::vector<ListedSocket>& sockets, SocketsLook& look) {
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (is_accepted(socket, look.listen_ports) && seen.insert(identity(socket)).second) {
      look.open_connections += 1;
      look.unread += socket.unread != 0 && socket.in_flight == 0 ? 1 : 0;
    }
  }
}

// Those of them that were read from and have no record, with a process that holds each.
std::map<SocketIdentity, pid_t> unseen(const std::vector<ListedSocket>& sockets, const SocketsLook& look) {
  std::map<SocketIdentity, pid_t> found;
  for (const ListedSocket& socket : sockets) {
    if (is_accepted(socket, look.listen_ports) && socket.role == ROLE_UNKNOWN && socket.unseen != 0) {
      found[identity(socket)] = static_cast<pid_t>(socket.pid);
    }
  }
  return found;
}

// What was read without an event (io_uring, splice) for two looks in a row gets a record, and is an undercount. Once
// could be a receive whose event is still under way.
Status take_in_unseen(const Objects& objects, unsigned target, TargetState& state,
                      const std::map<SocketIdentity, pid_t>& unseen) {
  std::set<SocketIdentity> now;
  for (const auto& [socket, pid] : unseen) {
    now.insert(socket);
    if (!state.unseen.contains(socket)) {
      continue;
    }
    *objects.iter_request = {.action = ITER_ADOPT_UNSEEN, .target = target, .socket = socket.first};
    std::vector<ListedSocket> ignored;
    Status status = list_sockets(objects, pid, ignored);
    *objects.iter_request = {};
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

bool is_attached(const Program& program, const std::vector<Link>& links, const std::optional<Pins>& pins) {
  return pins ? pins->has("links", program.name())
              : std::any_of(links.begin(), links.end(), [&](const Link& link) { return link.name == program.name(); });
}

// Of a pinned engine the hook outlives this process.
Status attach_one(const Program& program, std::vector<Link>& links, const std::optional<Pins>& pins) {
  Result<Link> link = attach_hook(program);
  if (!link) {
    return std::move(link).error();
  }
  if (!pins) {
    links.push_back(*std::move(link));
    return Ok{};
  }
  if (!pins->has("programs", program.name())) {
    if (Status status = pins->add({"programs", program.name(), program.fd()}); !status) {
      return status;
    }
  }
  return pins->add({"links", link->name, link->fd.get()});
}

// Loads and attaches the hooks on Unix sockets, if they are not.
Status attach_unix_hooks(Objects& objects, std::vector<Link>& links, const std::optional<Pins>& pins) {
  if (!objects.on_close) {
    if (Status status = load_unix_hooks(objects); !status) {
      return status;
    }
  }
  for (const Program* program : {&objects.on_unix_received, &objects.on_unix_sent, &objects.on_close}) {
    if (!*program || is_attached(*program, links, pins)) {
      continue;  // the profile's own hook is for all sockets
    }
    if (Status status = attach_one(*program, links, pins); !status) {
      return status;
    }
  }
  return Ok{};
}

// What a look does besides looking.
Status keep_up(Engine::State& state, unsigned target, const std::vector<monitor_live>& records,
               const std::vector<ListedSocket>& sockets, const SocketsLook& look) {
  if (listens_on_unix(sockets)) {
    if (Status status = attach_unix_hooks(state.objects, state.links, state.pins); !status) {
      return status;
    }
  }
  if (!records.empty()) {
    std::set<SocketIdentity> open;
    std::transform(sockets.begin(), sockets.end(), std::inserter(open, open.end()), identity);
    if (Status status = sweep(state.objects, records, open); !status) {
      return status;
    }
  }
  if (Status status = take_in_unseen(state.objects, target, state.targets.at(target), unseen(sockets, look)); !status) {
    return status;
  }
  return run_program(state.objects.note_open, std::array<std::uint64_t, 2>{target, look.open_connections},
                     "note the peak of connections");
}

}  // namespace

Result<SocketsLook> Engine::look_at_sockets(unsigned target, const std::vector<pid_t>& processes) {
  if (Status status = check_counts(target); !status) {
    return std::move(status).error();
  }
  // The records before the processes, and these before their sockets: what is made meanwhile is no reason to think that
  // a record's socket has gone.
  const Result<std::vector<monitor_live>> records = read_addressed_records(state_->objects, target);
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
    if (Status status = list_sockets(state_->objects, pid, sockets); !status) {
      return std::move(status).error();
    }
  }
  SocketsLook look;
  add_listeners(sockets, look);
  add_connections(sockets, look);
  if (const Turn turn(state_->lock_file, state_->alone); turn) {
    if (Status status = check_counts(target); !status) {
      return std::move(status).error();
    }
    if (Status status = keep_up(*state_, target, *records, sockets, look); !status) {
      return std::move(status).error();
    }
  }
  return look;
}

bool Engine::has_doubts(unsigned target) const {
  const TargetState& remembered = state_->targets.at(target);
  return !remembered.unseen.empty() || !remembered.suspected.empty();
}

}  // namespace monitor
