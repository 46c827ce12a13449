// SPDX-License-Identifier: Apache-2.0
// Which datagrams are QUIC: heads written by hand after RFC 9000, and those of other protocols over UDP.
#include <doctest/doctest.h>

#include <algorithm>
#include <cstdint>
#include <random>
#include <string>
#include <string_view>

#include "quic/datagram.h"

namespace monitor {
namespace {

using namespace std::string_view_literals;

struct Recognized {
  quic_datagram kind;
  __u64 id;
};

Recognized recognize(std::string_view datagram, std::size_t length = 0) {
  quic_head head{};
  std::copy_n(datagram.begin(), std::min(datagram.size(), sizeof(head.bytes)), head.bytes);
  Recognized found{};
  found.kind =
      quic_recognize(head.bytes, static_cast<std::uint32_t>(length != 0 ? length : datagram.size()), &found.id);
  return found;
}

// A client's Initial packet of 1,200 bytes.
std::string initial(std::string_view chosen, std::string_view own, std::string_view version = "\0\0\0\1"sv,
                    char first = '\xc3') {
  std::string made(1, first);
  made += version;
  made += static_cast<char>(chosen.size());
  made += chosen;
  made += static_cast<char>(own.size());
  made += own;
  made.resize(1200, '\x5a');
  return made;
}

constexpr std::string_view kChosen = "server-1";
constexpr std::string_view kOwn = "client-1";

std::string random_bytes(std::mt19937& random, std::size_t count) {
  std::string made(count, '\0');
  std::generate(made.begin(), made.end(), [&] { return static_cast<char>(random()); });
  return made;
}

}  // namespace

TEST_CASE("quic: a client's Initial packet, by its own connection ID") {
  const Recognized first = recognize(initial(kChosen, kOwn));
  CHECK(first.kind == QUIC_INITIAL);
  CHECK(recognize(initial("another-server-id", kOwn)).id == first.id);  // after a Retry, and after the first answer
  CHECK(recognize(initial(kChosen, "client-2")).id != first.id);
  CHECK(recognize(initial(kChosen, "")).kind == QUIC_INITIAL);
  CHECK(recognize(initial(kChosen, "")).id != recognize(initial("server-2", "")).id);
  CHECK(recognize(initial(std::string(20, 'a'), std::string(20, 'b'))).kind == QUIC_INITIAL);
  CHECK(recognize(initial(std::string(20, 'a'), std::string(19, 'b') + "c")).id !=
        recognize(initial(std::string(20, 'a'), std::string(20, 'b'))).id);
}

TEST_CASE("quic: the versions of the RFCs and of their drafts") {
  CHECK(recognize(initial(kChosen, kOwn, "\x6b\x33\x43\xcf"sv, '\xd3')).kind == QUIC_INITIAL);
  CHECK(recognize(initial(kChosen, kOwn, "\xff\0\0\x1d"sv)).kind == QUIC_INITIAL);
  CHECK(recognize(initial(kChosen, kOwn, "\x6b\x33\x43\xcf"sv, '\xc3')).kind == QUIC_LATER);  // a Retry there
  CHECK(recognize(initial(kChosen, kOwn, "\0\0\0\0"sv)).kind == QUIC_OTHER);  // a server's list of versions
  CHECK(recognize(initial(kChosen, kOwn, "\x1a\x2a\x3a\x4a"sv)).kind == QUIC_OTHER);
  CHECK(recognize(initial(kChosen, kOwn, "\0\0\0\2"sv)).kind == QUIC_OTHER);
}

TEST_CASE("quic: what is no Initial packet of a client") {
  const std::string packet = initial(kChosen, kOwn);
  CHECK(recognize(packet, 1199).kind == QUIC_LATER);                                  // clients pad theirs
  CHECK(recognize(initial("short", kOwn)).kind == QUIC_LATER);                        // no ID that a client chooses
  CHECK(recognize(initial(kChosen, kOwn, "\0\0\0\1"sv, '\xe3')).kind == QUIC_LATER);  // Handshake
  CHECK(recognize(initial(kChosen, kOwn, "\0\0\0\1"sv, '\xd3')).kind == QUIC_LATER);  // 0-RTT
  CHECK(recognize(initial(kChosen, kOwn, "\0\0\0\1"sv, '\x83')).kind == QUIC_OTHER);
  CHECK(recognize(initial(std::string(21, 'a'), kOwn)).kind == QUIC_OTHER);
  CHECK(recognize(initial(kChosen, std::string(21, 'b'))).kind == QUIC_OTHER);
  CHECK(recognize("").kind == QUIC_OTHER);
  CHECK(recognize(packet, 20).kind == QUIC_OTHER);
}

TEST_CASE("quic: packets with a short header, and other protocols") {
  std::mt19937 random{1};  // NOLINT(cert-msc51-cpp): the same bytes in every run
  int later = 0;
  int neither = 0;
  for (int i = 0; i < 1000; ++i) {
    const Recognized found = recognize("\x43" + random_bytes(random, 40));
    later += found.kind == QUIC_LATER ? 1 : 0;
    neither += found.kind == QUIC_OTHER ? 1 : 0;
    CHECK(found.kind != QUIC_INITIAL);
  }
  CHECK(later > 970);
  CHECK(neither == 0);
  int of_one = 0;
  for (int i = 0; i < 1000; ++i) {
    // A connection whose ID has no byte above 127.
    const Recognized found = recognize(
        "\x43"
        "an ID: 8" +
        random_bytes(random, 40));
    of_one += found.kind == QUIC_LATER ? 1 : found.kind == QUIC_MAYBE ? -1 : -10;
  }
  CHECK(of_one > 100);
  for (
      const std::string_view other : {
          "http.requests:1|c|#env:prod,service:api\n"sv,                                  // StatsD
          "NOTIFY * HTTP/1.1\r\nHOST: 239.255.255.250:1900\r\n\r\n"sv,                    // SSDP
          "\x1a\x2b\x81\x80\0\1\0\1\0\0\0\0\3www\7example\3com\0\0\1\0\1\xc0\x0c\0\1"sv,  // DNS
          "<34>1 2026-01-01T00:00:00Z host app - - - message"sv,                          // syslog
          "{\"message\": \"a log record in GELF\"}"sv, "cpu,host=a usage=1.5 1434055562000000000"sv,
          "\x16\xfe\xff\0\0\0\0\0\0\0\0\0\x31\1\0\0\x25\0\0\0\0\0\0\0\x25\xfe\xfd"sv,                // DTLS
          "\x80\x60\x12\x34\x56\x78\x9a\xbc\xde\xf0\xff\xee\xdd\xcc\xbb\xaa\x99\x88\x77\x66\x55"sv,  // RTP
          "\x24\1\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"sv,  // NTP
      }) {
    CAPTURE(other);
    CHECK(recognize(other).kind == QUIC_OTHER);
  }
  for (int i = 0; i < 100'000; ++i) {
    CHECK(recognize(random_bytes(random, 48), 1400).kind != QUIC_INITIAL);
  }
}

}  // namespace monitor
