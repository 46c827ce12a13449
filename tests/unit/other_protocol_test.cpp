// SPDX-License-Identifier: Apache-2.0
// Records of TLS and frames of HTTP/2, as bpf/ recognizes them.
#include "http1/other_protocol.h"

#include <doctest/doctest.h>

#include <array>
#include <initializer_list>
#include <random>

namespace monitor {
namespace {

using Head = std::array<__u8, UNIT_HEADER>;

Head head_of(std::initializer_list<int> bytes) {
  Head head{};
  std::size_t i = 0;
  for (const int byte : bytes) {
    head.at(i++) = static_cast<__u8>(byte);
  }
  return head;
}

__u32 tls(std::initializer_list<int> bytes) {
  return tls_record_length(head_of(bytes).data());
}
__u32 http2(std::initializer_list<int> bytes) {
  return http2_frame_length(head_of(bytes).data());
}

TEST_CASE("other protocol: records of TLS") {
  CHECK(tls({0x17, 3, 3, 0, 0x20}) == 5 + 32);
  CHECK(tls({0x16, 3, 1, 2, 0}) == 5 + 512);
  CHECK(tls({0x15, 3, 3, 0, 2}) == 5 + 2);
  CHECK(tls({0x17, 3, 3, 0x41, 0}) == 5 + 16640);
  CHECK(tls({0x17, 3, 3, 0x41, 1}) == 0);  // longer than a record
  CHECK(tls({0x17, 3, 3, 0, 0}) == 0);
  CHECK(tls({0x18, 3, 3, 0, 2}) == 0);
  CHECK(tls({0x17, 2, 3, 0, 2}) == 0);
  CHECK(tls({0x17, 3, 5, 0, 2}) == 0);
}

TEST_CASE("other protocol: frames of HTTP/2") {
  CHECK(http2({0, 0, 18, HTTP2_SETTINGS, 0, 0, 0, 0, 0}) == 9 + 18);
  CHECK(http2({0, 0, 0, HTTP2_SETTINGS, 1, 0, 0, 0, 0}) == 9);
  CHECK(http2({0, 0, 8, HTTP2_PING, 0, 0, 0, 0, 0}) == 9 + 8);
  CHECK(http2({0, 0, 40, HTTP2_HEADERS, 5, 0, 0, 0, 1}) == 9 + 40);
  CHECK(http2({0, 0, 0, HTTP2_DATA, 1, 0, 0, 1, 1}) == 9);
  CHECK(http2({0, 0, 4, HTTP2_WINDOW_UPDATE, 0, 0, 0, 0, 0}) == 9 + 4);
  CHECK(http2({0, 0, 4, HTTP2_RST_STREAM, 0, 0, 0, 0, 3}) == 9 + 4);
  CHECK(http2({0, 0, 8, HTTP2_GOAWAY, 0, 0, 0, 0, 0}) == 9 + 8);
  CHECK(http2({0, 0, 0, HTTP2_DATA, 0, 0, 0, 0, 0}) == 0);          // a row of zeros: no stream
  CHECK(http2({0, 0, 1, HTTP2_DATA, 1, 0, 0x20, 0x20, 0}) == 0);    // the head of an icon
  CHECK(http2({0, 0, 18, HTTP2_SETTINGS, 0, 0, 0, 0, 1}) == 0);     // of a stream
  CHECK(http2({1, 0, 0, HTTP2_DATA, 0, 0, 0, 0, 1}) == 0);          // longer than a frame
  CHECK(http2({0, 0, 8, HTTP2_PUSH_PROMISE, 4, 0, 0, 0, 1}) == 0);  // clients do not use it
  CHECK(http2({'d', 'a', 't', 'a', ':', ' ', '1', '\n', '\n'}) == 0);
  CHECK(http2({'5', '\r', '\n', 'h', 'e', 'l', 'l', 'o', '\r'}) == 0);
}

TEST_CASE("other protocol: random bytes are hardly ever one") {
  std::mt19937 random(1);  // NOLINT(cert-msc51-cpp): the same bytes in every run
  int found = 0;
  for (int i = 0; i < 1000000; ++i) {
    Head head{};
    for (__u8& byte : head) {
      byte = static_cast<__u8>(random());
    }
    found += tls_record_length(head.data()) != 0 || http2_frame_length(head.data()) != 0 ? 1 : 0;
  }
  CHECK(found <= 5);
}

}  // namespace
}  // namespace monitor
