// SPDX-License-Identifier: Apache-2.0
// The sockets that a server's processes hold, as the kernel's iterator lists them. Private to session/.
#pragma once

#include <monitor/abi.h>
#include <sys/types.h>

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/counters.h"
#include "session/objects.h"
#include "session/records.h"

namespace monitor {

// A socket of one descriptor: the same socket appears once for each descriptor and process that holds it.
struct ListedSocket : monitor_socket {
  std::string name;  // of a listening Unix socket

  SocketIdentity identity() const { return {address, inode}; }
};

struct KnownListener;

// All that Engine::sample_sockets read.
struct SocketList {
  // The target's records by address, read before the sockets: a connection made meanwhile is then in `sockets` but not
  // here, and a record without a socket is one whose socket has gone.
  std::vector<monitor_live> records;
  std::vector<ListedSocket> sockets;
};

// Adds the sockets of one process. A process that has ended has no sockets.
Status list_sockets(const Objects& objects, pid_t pid, std::vector<ListedSocket>& sockets);

// Whether the server accepted the socket. For a socket without a record, its port (one of `ports`) or its name decides.
bool is_accepted(const ListedSocket& socket, const std::vector<std::uint16_t>& ports);

bool is_listening(const ListedSocket& socket);

// "127.0.0.1:9999", "[::]:80". `address` is that of monitor_socket.
std::string address_text(int family, const std::uint8_t* address, std::uint16_t port);

// Each socket counts once however many processes hold it. `known` are the target's listeners.
SocketsSample summarize(const std::vector<ListedSocket>& sockets, const std::vector<KnownListener>& known);

}  // namespace monitor
