// SPDX-License-Identifier: Apache-2.0
// What the listeners of a server are for: which of them serves, which belong to a child that is a server of its own,
// and which protocol passes on each. Pure: it judges by what the kernel side and the command line showed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace monitor {

// What a server's command line says. Part of what a listener is judged by.
struct ListenerHints {
  pid_t root = 0;                    // the server's first process
  std::vector<std::uint16_t> ports;  // that the command line names for HTTP
  bool unix_socket = false;          // the command line names a Unix socket for HTTP
  std::vector<std::string> paths;    // absolute paths among its arguments
  unsigned keep_alive_ms = 0;        // it closes connections that are idle for longer; 0: unknown, or it does not
};

// Which listeners a view is restricted to. Empty: all of the server's, together.
struct ListenerChoice {
  std::vector<std::uint16_t> ports;
  std::vector<std::string> addresses;  // as ListenerSample::address
  bool each = false;                   // a view of each, one after another

  bool is_restricted() const { return !ports.empty() || !addresses.empty(); }
};

// A listener as the kernel's list of sockets shows it. SO_REUSEPORT sockets of one address are one listener.
struct ListenerSample {
  unsigned number = 0;         // as in ListenerCounters; 0: the kernel side does not know it yet
  std::string address;         // "127.0.0.1:9999", "[::]:80", "unix:/run/a.sock"
  std::uint16_t port = 0;      // 0: a Unix socket
  std::vector<pid_t> holders;  // processes that hold it, sorted
  std::uint64_t accept_queue = 0;
  std::uint64_t open_connections = 0;
  std::uint64_t unread = 0;  // accepted, no request in flight, bytes unread
};

// What the kernel side counted on one listener.
struct ListenerCounters {
  unsigned number = 0;  // within the server; 0: connections whose listener is unknown
  std::string address;  // empty if only the list of sockets has it
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t refused = 0;
  std::uint64_t rejected = 0;
  std::uint64_t unproven = 0;  // in flight if the listener speaks HTTP; not in `active`
  std::map<std::string, std::uint64_t> undercount;
  bool http = false;        // the server has sent HTTP on it
  bool foreign = false;     // the server has sent something else first on a connection
  std::string first_bytes;  // what it sent then, up to 8 bytes
  bool presumed = false;    // requests from before the attach count on it although no HTTP was seen
  bool apart = false;       // what it serves is not the server's
};

// What a listener is for. User space passes it to the kernel side.
struct ListenerRole {
  bool presumed = false;
  bool apart = false;
  bool operator==(const ListenerRole&) const = default;
};

// The index of the listener that names the server, or `samples.size()` if there is none. It serves, or is the best
// guess: named on the command line, held by the root process, seen to speak HTTP, on the usual port 8000, below the
// ephemeral ports, not on loopback, lowest. The same listeners give the same result in any order. `http` has the
// numbers of those that were seen to speak HTTP.
std::size_t main_listener(const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http,
                          const ListenerHints& hints);

// The address of that listener, or "" if the server has no listener.
std::string main_address(const std::vector<ListenerSample>& samples, const std::vector<ListenerCounters>& counted,
                         const ListenerHints& hints);

// One role for each of `samples`. A listener is apart if no process that holds the main one holds it, nor the root. It
// is presumed to speak HTTP if the command line names it, or if it is the only one that is not apart, or on the only
// TCP port of those that are not.
std::vector<ListenerRole> judge_listeners(const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http,
                                          const ListenerHints& hints);

// Whether requests on the listener count: it speaks HTTP, or is presumed to and showed nothing else.
bool serves_http(const ListenerCounters& listener);

// "http", or what else passes: "tls", "http2", "redis", "zeromq", "ssh", …; "unknown" if it is something else; empty if
// nothing has shown it yet.
std::string protocol_name(const ListenerCounters& listener);

}  // namespace monitor
