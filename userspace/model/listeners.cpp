// SPDX-License-Identifier: Apache-2.0
#include "model/listeners.h"

#include <algorithm>
#include <array>
#include <set>
#include <string_view>
#include <tuple>

#include "base/contains.h"

namespace monitor {
namespace {

using namespace std::string_view_literals;

constexpr std::uint16_t kUsualPort = 8000;            // of uvicorn, gunicorn, hypercorn, granian and daphne
constexpr std::uint16_t kFirstEphemeralPort = 32768;  // net.ipv4.ip_local_port_range

// A server may make the path absolute.
std::string_view base_name(std::string_view path) {
  return path.substr(path.find_last_of("/:") + 1);
}

bool is_named(const ListenerSample& sample, const ListenerHints& hints) {
  if (sample.port != 0) {
    return contains(hints.ports, sample.port);
  }
  if (is_internal_address(sample.address)) {
    return false;
  }
  return std::any_of(hints.paths.begin(), hints.paths.end(),
                     [&sample](const std::string& path) { return sample.address == "unix:" + path; }) ||
         std::any_of(hints.unix_paths.begin(), hints.unix_paths.end(), [&sample](const std::string& path) {
           return base_name(sample.address) == base_name("unix:" + path);
         });
}

bool is_loopback(const ListenerSample& sample) {
  return sample.address.starts_with("127.") || sample.address.starts_with("[::1]");
}

bool is_apart(const ListenerSample& sample, const ListenerSample& main, pid_t root) {
  return !contains(sample.holders, root) && std::none_of(sample.holders.begin(), sample.holders.end(),
                                                         [&main](pid_t pid) { return contains(main.holders, pid); });
}

// A protocol by the first bytes that a server sends in it. The first row that fits decides.
struct ServerGreeting {
  std::string_view bytes;
  const char* protocol;
};
constexpr std::array kGreetings = {
    ServerGreeting{"\x16\x03"sv, "tls"},                             // a handshake record, RFC 8446 §5.1
    ServerGreeting{"\x15\x03"sv, "tls"},                             // an alert
    ServerGreeting{"\xff\x00\x00\x00\x00\x00\x00\x00"sv, "zeromq"},  // ZMTP 3.1, "greeting"
    ServerGreeting{"SSH-"sv, "ssh"},                                 // RFC 4253 §4.2
    ServerGreeting{"AMQP"sv, "amqp"},
    ServerGreeting{"\x01\x00\x00"sv, "amqp"},
    ServerGreeting{"Content-"sv, "json-rpc"},  // the base protocol of LSP and DAP: debuggers
    ServerGreeting{"220 "sv, "smtp"},          // RFC 5321 §4.2; FTP greets alike
    ServerGreeting{"* "sv, "imap"},            // RFC 9051 §7
    ServerGreeting{"+OK "sv, "pop3"},          // RFC 1939 §4; Redis has a line end there
    ServerGreeting{"RTSP/"sv, "rtsp"},         // RFC 7826 §8
    ServerGreeting{"SIP/"sv, "sip"},           // RFC 3261 §7.2
};

bool is_in(char c, char first, char last) {
  return c >= first && c <= last;
}

// RESP: a simple string or an error, or else a number: an integer, or the length of a string or of an array.
bool is_redis(std::string_view bytes) {
  if (bytes.size() < 2) {
    return false;
  }
  if (bytes[0] == '+' || bytes[0] == '-') {
    return is_in(bytes[1], 'A', 'Z') || is_in(bytes[1], 'a', 'z');
  }
  return (bytes[0] == ':' || bytes[0] == '$' || bytes[0] == '*') && (is_in(bytes[1], '0', '9') || bytes[1] == '-');
}

// A frame header of HTTP/2 whose type is SETTINGS, on stream 0 (RFC 9113 §3.4).
bool is_http2(std::string_view bytes) {
  return bytes.size() >= 8 && bytes[0] == '\0' && bytes[3] == '\x04' && bytes.substr(5, 3) == "\0\0\0"sv;
}

}  // namespace

bool ListenerChoice::names(std::string_view address) const {
  return contains(addresses, address) ||
         (!address.starts_with("unix:") && std::any_of(ports.begin(), ports.end(), [address](std::uint16_t port) {
           return address.ends_with(":" + std::to_string(port));
         }));
}

bool is_internal_address(std::string_view address) {
  return address.starts_with("unix:") && (address.find("/pymp-") != std::string_view::npos ||
                                          address.starts_with("unix:@listener-") || address.ends_with("/gunicorn.ctl"));
}

std::size_t main_listener(const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http,
                          const ListenerHints& hints, unsigned so_far) {
  const auto rank = [&](const ListenerSample& sample) {
    return std::tuple(!is_named(sample, hints), is_internal_address(sample.address),
                      !contains(sample.holders, hints.root), !contains(http, sample.number), sample.port != kUsualPort,
                      sample.port >= kFirstEphemeralPort, so_far == 0 || sample.number != so_far, is_loopback(sample),
                      sample.port, sample.address);
  };
  const auto best = std::min_element(
      samples.begin(), samples.end(),
      [&rank](const ListenerSample& left, const ListenerSample& right) { return rank(left) < rank(right); });
  return static_cast<std::size_t>(best - samples.begin());
}

std::string main_address(const std::vector<ListenerSample>& samples, const std::vector<ListenerCounters>& counted,
                         const ListenerHints& hints, unsigned so_far) {
  std::vector<unsigned> http;
  for (const ListenerCounters& listener : counted) {
    if (listener.http) {
      http.push_back(listener.number);
    }
  }
  const std::size_t main = main_listener(samples, http, hints, so_far);
  return main < samples.size() ? samples[main].address : "";
}

std::vector<ListenerRole> judge_listeners(const std::vector<ListenerSample>& samples, const std::vector<unsigned>& http,
                                          const ListenerHints& hints, unsigned so_far) {
  std::vector<ListenerRole> roles(samples.size());
  const std::size_t main = main_listener(samples, http, hints, so_far);
  std::size_t own = 0;
  std::set<std::uint16_t> tcp_ports;
  for (std::size_t i = 0; i < samples.size(); ++i) {
    roles[i].apart = is_apart(samples[i], samples[main], hints.root);
    own += roles[i].apart ? 0 : 1;
    if (!roles[i].apart && samples[i].port != 0) {
      tcp_ports.insert(samples[i].port);
    }
  }
  for (std::size_t i = 0; i < samples.size(); ++i) {
    const bool only = own == 1 || (samples[i].port != 0 && tcp_ports.size() == 1);
    roles[i].presumed = hints.http && !roles[i].apart && (only || is_named(samples[i], hints));
  }
  return roles;
}

bool serves_http(const ListenerCounters& listener) {
  return listener.http || (listener.presumed && !listener.foreign);
}

bool speaks_other(const ListenerCounters& listener) {
  return listener.foreign && !listener.http;
}

std::string protocol_name(const ListenerCounters& listener) {
  if (listener.http) {
    return "http";
  }
  if (listener.quic) {
    return "quic";
  }
  if (!listener.foreign) {
    return "";
  }
  const std::string_view bytes = listener.first_bytes;
  const auto* const found = std::find_if(kGreetings.begin(), kGreetings.end(), [bytes](const ServerGreeting& greeting) {
    return bytes.starts_with(greeting.bytes);
  });
  if (found != kGreetings.end()) {
    return found->protocol;
  }
  if (is_redis(bytes)) {
    return "redis";
  }
  return is_http2(bytes) ? "http2" : "unknown";
}

}  // namespace monitor
