// SPDX-License-Identifier: Apache-2.0
#include "session/sockets.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

#include "session/iterator.h"

namespace monitor {
namespace {

// include/net/tcp_states.h
constexpr std::uint8_t kSynSent = 2;
constexpr std::uint8_t kClose = 7;
constexpr std::uint8_t kListen = 10;

// A path can hold any byte but NUL; the output escapes it. An abstract name starts with @, as the kernel shows it.
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

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

void add_listeners(const std::vector<ListedSocket>& sockets, SocketsSample& sample) {
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (!is_listening(socket)) {
      continue;
    }
    sample.listeners.push_back(static_cast<pid_t>(socket.pid));
    if (seen.insert(socket.identity()).second) {
      sample.accept_queue += socket.backlog;
      sample.listen.push_back(listen_address(socket));
      if (socket.family != AF_UNIX) {
        sample.listen_ports.push_back(socket.local_port);
      }
    }
  }
  sort_unique(sample.listen);
  sort_unique(sample.listen_ports);
  sort_unique(sample.listeners);
}

void add_connections(const std::vector<ListedSocket>& sockets, SocketsSample& sample) {
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (is_accepted(socket, sample.listen_ports) && seen.insert(socket.identity()).second) {
      sample.open_connections += 1;
      sample.unread += socket.unread != 0 && socket.in_flight == 0 ? 1 : 0;
    }
  }
}

// Reads the iterator's records one after another.
class RecordReader {
 public:
  explicit RecordReader(std::vector<char> records) : records_(std::move(records)) {}

  // Returns false at the end.
  bool read(void* to, std::size_t size) {
    if (at_ + size > records_.size()) {
      return false;
    }
    std::memcpy(to, records_.data() + at_, size);
    at_ += size;
    return true;
  }

 private:
  std::vector<char> records_;
  std::size_t at_ = 0;
};

}  // namespace

Status list_sockets(const Objects& objects, pid_t pid, std::vector<ListedSocket>& sockets) {
  bpf_iter_link_info info{};
  info.task.pid = static_cast<std::uint32_t>(pid);
  RecordReader records(TRY(within("list the sockets of process " + std::to_string(pid),
                                  read_iterator(objects.program("iterate_sockets"), info))));
  for (ListedSocket socket; records.read(static_cast<monitor_socket*>(&socket), sizeof(monitor_socket));) {
    monitor_unix_name name{};
    if (socket.family == AF_UNIX && is_listening(socket) && records.read(&name, sizeof(name))) {
      socket.name.assign(name.name, std::min<std::size_t>(name.length, sizeof(name.name)));
    }
    sockets.push_back(std::exchange(socket, ListedSocket{}));
  }
  return Ok{};
}

bool is_listening(const ListedSocket& socket) {
  return socket.state == kListen;
}

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

SocketsSample summarize(const std::vector<ListedSocket>& sockets) {
  SocketsSample sample;
  add_listeners(sockets, sample);
  add_connections(sockets, sample);
  return sample;
}

}  // namespace monitor
