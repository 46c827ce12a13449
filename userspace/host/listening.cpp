// SPDX-License-Identifier: Apache-2.0
// Finds the sockets that processes listen on: takes the socket inodes from /proc/PID/fd and looks them up in the tables
// of the process's network namespace (/proc/PID/net). Reads each namespace once, no matter how many processes share it.
#include <arpa/inet.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <map>
#include <memory>
#include <set>
#include <string_view>
#include <utility>

#include "host/parse_number.h"
#include "host/procfs.h"
#include "host/read_file.h"

namespace monitor {
namespace {

using Inodes = std::set<std::uint64_t>;

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

Directory open_directory(const std::string& path) {
  return {::opendir(path.c_str()), ::closedir};
}

// The target of a symbolic link in an open directory; empty if it cannot be read. The buffer holds "socket:[N]".
std::string read_link(int directory, const char* name) {
  std::array<char, 64> text{};
  const ssize_t length = ::readlinkat(directory, name, text.data(), text.size());
  return length > 0 ? std::string(text.data(), static_cast<std::size_t>(length)) : std::string();
}

Inodes socket_inodes(const std::string& descriptors) {
  constexpr std::string_view kPrefix = "socket:[";
  Inodes inodes;
  const Directory directory = open_directory(descriptors);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    const std::string link = read_link(::dirfd(directory.get()), entry->d_name);
    if (!link.starts_with(kPrefix) || link.back() != ']') {
      continue;
    }
    const std::string_view text = std::string_view(link).substr(kPrefix.size(), link.size() - kPrefix.size() - 1);
    if (const auto inode = parse_number<std::uint64_t>(text)) {
      inodes.insert(*inode);
    }
  }
  return inodes;
}

// "0100007F:270F" → "127.0.0.1:9999"; 32 digits are IPv6. The kernel prints the address as 32-bit words in the byte
// order of this machine, and the port as a number (net/ipv4/tcp_ipv4.c, get_openreq4). Empty if the text is malformed.
std::string format_address(std::string_view text) {
  constexpr std::size_t kWordDigits = 8;
  const std::size_t colon = text.find(':');
  const std::string_view address = text.substr(0, colon);
  if (colon == std::string_view::npos) {
    return "";
  }
  const auto port = parse_number<std::uint16_t>(text.substr(colon + 1), 16);
  std::array<std::uint32_t, 4> words{};
  const std::size_t count = address.size() / kWordDigits;
  if (!port || address.size() % kWordDigits != 0 || (count != 1 && count != words.size())) {
    return "";
  }
  for (std::size_t i = 0; i < count; ++i) {
    const auto word = parse_number<std::uint32_t>(address.substr(i * kWordDigits, kWordDigits), 16);
    if (!word) {
      return "";
    }
    words[i] = *word;
  }
  std::array<char, INET6_ADDRSTRLEN> shown{};
  const bool ipv6 = count == words.size();
  if (::inet_ntop(ipv6 ? AF_INET6 : AF_INET, words.data(), shown.data(), shown.size()) == nullptr) {
    return "";
  }
  const std::string host = shown.data();
  return (ipv6 ? "[" + host + "]" : host) + ":" + std::to_string(*port);
}

// The addresses of the listening sockets of one network namespace, by inode.
using Addresses = std::multimap<std::uint64_t, std::string>;

// Adds the listening sockets of net/tcp or net/tcp6 whose inode is in `inodes`; false if the table cannot be opened.
bool read_tcp(const std::string& path, const Inodes& inodes, Addresses& found) {
  constexpr std::string_view kListen = "0A";  // TCP_LISTEN, include/net/tcp_states.h
  LineReader lines(path);
  while (const auto line = lines.next()) {
    std::string_view rest = *line;
    take_word(rest);  // line number
    const std::string_view local = take_word(rest);
    take_word(rest);  // remote
    if (take_word(rest) != kListen) {
      continue;
    }
    for (int skipped = 0; skipped < 5; ++skipped) {
      take_word(rest);  // queues, timer, retransmits, uid, timeout
    }
    const auto inode = parse_number<std::uint64_t>(take_word(rest));
    std::string address = format_address(local);
    if (inode && inodes.contains(*inode) && !address.empty()) {
      found.emplace(*inode, std::move(address));
    }
  }
  return lines.opened();
}

// The same for net/unix: "address: refcount protocol flags type state inode path". The path can contain any byte.
void read_unix(const std::string& path, const Inodes& inodes, Addresses& found) {
  constexpr unsigned kAccepts = 0x10000;  // __SO_ACCEPTCON, include/uapi/linux/net.h
  constexpr unsigned kStream = 1;         // SOCK_STREAM
  LineReader lines(path);
  while (const auto line = lines.next()) {
    std::string_view rest = *line;
    for (int skipped = 0; skipped < 3; ++skipped) {
      take_word(rest);  // address, reference count, protocol
    }
    const auto flags = parse_number<unsigned>(take_word(rest), 16);
    const auto type = parse_number<unsigned>(take_word(rest), 16);
    take_word(rest);  // state
    const auto inode = parse_number<std::uint64_t>(take_word(rest));
    if (flags && (*flags & kAccepts) != 0 && type == kStream && inode && inodes.contains(*inode)) {
      rest.remove_prefix(std::min<std::size_t>(rest.size(), 1));
      found.emplace(*inode, "unix:" + std::string(rest));
    }
  }
}

// The socket inodes of the processes of one network namespace.
struct Namespace {
  Inodes inodes;
  std::map<pid_t, Inodes> processes;
};

}  // namespace

std::map<pid_t, std::vector<std::string>> ProcFs::listening_by_process(const std::vector<pid_t>& processes) const {
  std::map<std::string, Namespace> namespaces;
  for (const pid_t pid : processes) {
    Inodes inodes = socket_inodes(file(pid, "fd"));
    if (inodes.empty()) {
      continue;
    }
    std::string name = network_namespace(pid);
    if (name.empty()) {
      name = "of process " + std::to_string(pid);  // unreadable: treat it as a namespace of its own
    }
    Namespace& sharing = namespaces[name];
    sharing.inodes.insert(inodes.begin(), inodes.end());
    sharing.processes.emplace(pid, std::move(inodes));
  }
  std::map<pid_t, std::vector<std::string>> found;
  for (const auto& [name, sharing] : namespaces) {
    Addresses addresses;
    for (const auto& [pid, inodes] : sharing.processes) {
      // A process may have ended in the meantime; any other of the namespace has the same tables.
      if (read_tcp(file(pid, "net/tcp"), sharing.inodes, addresses)) {
        read_tcp(file(pid, "net/tcp6"), sharing.inodes, addresses);
        read_unix(file(pid, "net/unix"), sharing.inodes, addresses);
        break;
      }
    }
    for (const auto& [pid, inodes] : sharing.processes) {
      for (const auto& [inode, address] : addresses) {
        if (inodes.contains(inode)) {
          found[pid].push_back(address);
        }
      }
    }
  }
  return found;
}

std::vector<std::string> ProcFs::listening(const std::vector<pid_t>& processes) const {
  std::set<std::string> found;
  for (const auto& [pid, addresses] : listening_by_process(processes)) {
    found.insert(addresses.begin(), addresses.end());
  }
  return {found.begin(), found.end()};
}

std::string ProcFs::network_namespace(pid_t pid) const {
  return read_link(AT_FDCWD, file(pid, "ns/net").c_str());
}

bool ProcFs::descriptors_refused(pid_t pid) const {
  const auto refused = [](int error) { return error == EACCES || error == EPERM; };
  const Directory directory = open_directory(file(pid, "fd"));
  if (!directory) {
    return refused(errno);
  }
  // The process's user can open the directory, but reading its links can take more, as for a process with capabilities.
  while (const dirent* entry = ::readdir(directory.get())) {
    if (entry->d_name[0] != '.') {
      char ignored = 0;
      return ::readlinkat(::dirfd(directory.get()), entry->d_name, &ignored, 1) < 0 && refused(errno);
    }
  }
  return false;
}

}  // namespace monitor
