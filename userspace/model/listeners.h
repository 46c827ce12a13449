// SPDX-License-Identifier: Apache-2.0
// What the listeners of a server are for: which of them serves, which belong to a child that is a server of its own,
// and which protocol passes on each. Pure: it judges by what the kernel side and the command line showed.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace monitor {

// What a server's command line and program say. Part of what a listener is judged by.
struct ListenerHints {
  pid_t root = 0;                       // the server's first process
  bool http = false;                    // something shows that it serves HTTP: its command line, program or modules
  std::vector<std::uint16_t> ports;     // that the command line names for HTTP
  std::vector<std::string> unix_paths;  // of Unix sockets that it names for HTTP, relative or not
  std::vector<std::string> paths;       // absolute paths among its arguments
  unsigned keep_alive_ms = 0;           // it closes connections that are idle for longer; 0: unknown, or it does not
};

// Which listeners a view is restricted to. Empty: all of the server's, together.
struct ListenerChoice {
  std::vector<std::uint16_t> ports;
  std::vector<std::string> addresses;  // as ListenerSample::address
  bool each = false;                   // a view of each, one after another

  bool is_restricted() const { return !ports.empty() || !addresses.empty(); }
  // Whether the address is one of those that the choice is restricted to.
  bool names(std::string_view address) const;
};

// A listener as the kernel's list of sockets shows it. SO_REUSEPORT sockets of one address are one listener.
struct ListenerSample {
  unsigned number = 0;                            // as in ListenerCounters; 0: the kernel side does not know it yet
  std::string address;                            // "127.0.0.1:9999", "[::]:80", "unix:/run/a.sock"
  std::uint16_t port = 0;                         // 0: a Unix socket
  std::vector<pid_t> holders;                     // processes that hold it, sorted
  std::uint64_t accept_queue = 0;                 // of all its sockets
  std::map<std::uint64_t, std::uint64_t> queues;  // the same by socket, as the inode of its file
  std::uint64_t open_connections = 0;
  std::uint64_t unread = 0;  // accepted, no request in flight, bytes unread
};

// What the kernel side counted on one listener.
struct ListenerCounters {
  unsigned number = 0;  // within the server; 0: connections whose listener is unknown
  std::string address;  // "udp:127.0.0.1:9999" for QUIC; empty if only the list of sockets has it
  std::uint64_t active = 0;
  std::uint64_t peak = 0;
  std::uint64_t refused = 0;
  std::uint64_t rejected = 0;
  std::uint64_t unproven = 0;  // in flight if the listener speaks HTTP; not in `active`
  std::map<std::string, std::uint64_t> undercount;
  bool http = false;        // the server has sent HTTP on it
  bool quic = false;        // a UDP socket, to which clients speak QUIC
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

// Whether the address is one of multiprocessing's own protocol ("unix:/tmp/pymp-x/listener-y", "unix:@listener-42-0")
// or of gunicorn's control socket ("unix:/root/.gunicorn/gunicorn.ctl").
bool is_internal_address(std::string_view address);

// The index of the listener that names the server, or `samples.size()` if there is none. It serves, or is the best
// guess: named on the command line, not internal, held by the root process, seen to speak HTTP, on the usual port 8000,
// below the ephemeral ports, the one so far, not on loopback, lowest. The same listeners give the same result in any
// order. `http` has the numbers of those that were seen to speak HTTP, `so_far` is the number of the one that named the
// server before, or 0.
std::size_t main_listener(const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http,
                          const ListenerHints& hints, unsigned so_far = 0);

// The address of that listener, or "" if the server has no listener.
std::string main_address(const std::vector<ListenerSample>& samples, const std::vector<ListenerCounters>& counted,
                         const ListenerHints& hints, unsigned so_far = 0);

// One role for each of `samples`. A listener is apart if no process that holds the main one holds it, nor the root. If
// something shows that the server serves HTTP, it is presumed to speak HTTP if the command line names it, or if it is
// the only one that is not apart, or on the only TCP port of those that are not.
std::vector<ListenerRole> judge_listeners(const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http,
                                          const ListenerHints& hints, unsigned so_far = 0);

// Whether requests on the listener count: it speaks HTTP, or is presumed to and showed nothing else.
bool serves_http(const ListenerCounters& listener);

// Whether the server has sent something else than HTTP on it, and never HTTP: what was taken for a request there may be
// something else.
bool speaks_other(const ListenerCounters& listener);

// "http", or what else passes: "tls", "http2", "redis", "zeromq", "ssh", …; "unknown" if it is something else; empty if
// nothing has shown it yet.
std::string protocol_name(const ListenerCounters& listener);

}  // namespace monitor
