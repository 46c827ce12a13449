// SPDX-License-Identifier: Apache-2.0
// WebSocket frames, as bpf/ recognizes them.
#include "http1/websocket.h"

#include <doctest/doctest.h>

#include <array>
#include <cstdint>
#include <initializer_list>

namespace monitor {
namespace {

__u64 length_of(std::initializer_list<int> bytes, bool masked) {
  std::array<__u8, WEBSOCKET_HEADER> head{};
  std::size_t i = 0;
  for (const int byte : bytes) {
    head.at(i++) = static_cast<__u8>(byte);
  }
  return websocket_frame_length(head.data(), masked);
}

TEST_CASE("websocket.frames") {
  CHECK(length_of({0x81, 0x85}, true) == 2 + 4 + 5);
  CHECK(length_of({0x81, 0x05}, false) == 2 + 5);
  CHECK(length_of({0xc1, 0x05}, false) == 7);  // compressed
  CHECK(length_of({0x01, 0x05}, false) == 7);  // a fragment
  CHECK(length_of({0x80, 0x00}, false) == 2);  // the last one, empty
  CHECK(length_of({0x89, 0x00}, false) == 2);  // a ping
  CHECK(length_of({0x82, 0x7e, 0x01, 0x00}, false) == 4 + 256);
  CHECK(length_of({0x82, 0xfe, 0x01, 0x00}, true) == 8 + 256);
  CHECK(length_of({0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0}, false) == 10 + 65536);
}

TEST_CASE("websocket.no_frames") {
  CHECK(length_of({'G', 'E'}, true) == 0);
  CHECK(length_of({'H', 'T'}, false) == 0);
  CHECK(length_of({'5', '\r'}, false) == 0);         // a chunk
  CHECK(length_of({0x81, 0x05}, true) == 0);         // a client has to mask
  CHECK(length_of({0x81, 0x85}, false) == 0);        // a server must not
  CHECK(length_of({0xa1, 0x05}, false) == 0);        // RSV2
  CHECK(length_of({0x83, 0x05}, false) == 0);        // a reserved opcode
  CHECK(length_of({0x09, 0x00}, false) == 0);        // a control frame in fragments
  CHECK(length_of({0x89, 0x7e, 1, 0}, false) == 0);  // or too long
  CHECK(length_of({0x82, 0x7e, 0, 5}, false) == 0);  // not the shortest form
  CHECK(length_of({0x82, 0x7f, 0, 0, 0, 0, 0, 0, 0, 5}, false) == 0);
  CHECK(length_of({0x82, 0x7f, 0xff, 0, 0, 0, 0, 0, 0, 5}, false) == 0);
}

}  // namespace
}  // namespace monitor
