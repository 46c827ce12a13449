// SPDX-License-Identifier: Apache-2.0
#include "session/sockets.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <set>
#include <utility>

#include "session/iterator.h"
#include "session/listeners.h"

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
  return socket.family == AF_UNIX ? unix_name(socket.name)
                                  : address_text(socket.family, socket.local_address, socket.local_port);
}

template <typename T>
void sort_unique(std::vector<T>& values) {
  std::sort(values.begin(), values.end());
  values.erase(std::unique(values.begin(), values.end()), values.end());
}

// Whether a listener accepted the connections with this address: it is the same, or the listener has any address.
bool accepts(const monitor_listener_key& listener, const ListedSocket& socket) {
  constexpr std::array<std::uint8_t, sizeof(listener.address)> kAny{};
  return listener.family == socket.family && listener.port == socket.local_port &&
         (std::memcmp(listener.address, socket.local_address, sizeof(listener.address)) == 0 ||
          (socket.family != AF_UNIX && !is_listening(socket) &&
           std::memcmp(listener.address, kAny.data(), kAny.size()) == 0));
}

// The number of the listener of a socket; 0 if it is unknown.
unsigned listener_number(const ListedSocket& socket, const std::vector<KnownListener>& known) {
  for (const KnownListener& listener : known) {
    const bool is_its = !is_listening(socket) && socket.role == ROLE_SERVER ? listener.slot == socket.listener
                                                                            : accepts(listener.counted.key, socket);
    if (is_its) {
      return listener.counted.number;
    }
  }
  return 0;
}

// The entry of a listening socket's address.
ListenerSample& entry_of(std::vector<ListenerSample>& entries, const ListedSocket& socket) {
  const std::string address = listen_address(socket);
  const auto found = std::find_if(entries.begin(), entries.end(),
                                  [&address](const ListenerSample& entry) { return entry.address == address; });
  if (found != entries.end()) {
    return *found;
  }
  ListenerSample& entry = entries.emplace_back();
  entry.address = address;
  entry.port = socket.family == AF_UNIX ? 0 : socket.local_port;
  return entry;
}

void add_listeners(const std::vector<ListedSocket>& sockets, const std::vector<KnownListener>& known,
                   SocketsSample& sample) {
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (!is_listening(socket)) {
      continue;
    }
    ListenerSample& entry = entry_of(sample.by_listener, socket);
    entry.number = std::max(entry.number, listener_number(socket, known));
    entry.holders.push_back(static_cast<pid_t>(socket.pid));
    if (seen.insert(socket.identity()).second) {
      entry.accept_queue += socket.backlog;
      entry.queues[socket.inode] += socket.backlog;
      sample.accept_queue += socket.backlog;
      sample.listen.push_back(entry.address);
      if (socket.family != AF_UNIX) {
        sample.listen_ports.push_back(socket.local_port);
      }
    }
  }
  sort_unique(sample.listen);
  sort_unique(sample.listen_ports);
  std::sort(sample.by_listener.begin(), sample.by_listener.end(),
            [](const ListenerSample& left, const ListenerSample& right) { return left.address < right.address; });
  for (ListenerSample& entry : sample.by_listener) {
    sort_unique(entry.holders);
  }
}

void add_connections(const std::vector<ListedSocket>& sockets, const std::vector<KnownListener>& known,
                     SocketsSample& sample) {
  std::set<SocketIdentity> seen;
  for (const ListedSocket& socket : sockets) {
    if (!is_accepted(socket, sample.listen_ports) || !seen.insert(socket.identity()).second) {
      continue;
    }
    const std::uint64_t unread = socket.unread != 0 && socket.in_flight == 0 ? 1 : 0;
    sample.open_connections += 1;
    sample.unread += unread;
    const unsigned number = listener_number(socket, known);
    const auto entry = std::find_if(sample.by_listener.begin(), sample.by_listener.end(),
                                    [number](const ListenerSample& other) { return other.number == number; });
    if (number != 0 && entry != sample.by_listener.end()) {
      entry->open_connections += 1;
      entry->unread += unread;
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

std::string address_text(int family, const std::uint8_t* address, std::uint16_t port) {
  std::array<char, INET6_ADDRSTRLEN> buffer{};
  inet_ntop(family, address, buffer.data(), buffer.size());
  const std::string text = buffer.data();
  return (family == AF_INET6 ? "[" + text + "]" : text) + ":" + std::to_string(port);
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

SocketsSample summarize(const std::vector<ListedSocket>& sockets, const std::vector<KnownListener>& known) {
  SocketsSample sample;
  add_listeners(sockets, known, sample);
  add_connections(sockets, known, sample);
  return sample;
}

}  // namespace monitor
