// SPDX-License-Identifier: Apache-2.0
// The arithmetic on eight bytes at a time, compared with plain loops.
#include <doctest/doctest.h>

#include <random>

#include "lib/pure.h"

namespace monitor {
namespace {

__u32 plain_first(__u64 word, __u8 byte) {
  for (__u32 i = 0; i < 8; ++i) {
    if ((word >> (8 * i) & 0xff) == byte) {
      return i;
    }
  }
  return 8;
}

bool plain_any_digit(__u64 word) {
  for (__u32 i = 0; i < 8; ++i) {
    const __u64 c = word >> (8 * i) & 0xff;
    if (c >= '0' && c <= '9') {
      return true;
    }
  }
  return false;
}

}  // namespace

TEST_CASE("words: every byte in every position") {
  for (const __u64 background : {0ULL, ~0ULL, BYTES_80, BYTES_01, 0x2f3a2f3a2f3a2f3aULL, 0xb0b9b0b9b0b9b0b9ULL}) {
    for (__u32 place = 0; place < 8; ++place) {
      for (__u32 byte = 0; byte < 256; ++byte) {
        const __u64 word = (background & ~(0xffULL << (8 * place))) | static_cast<__u64>(byte) << (8 * place);
        const __u64 marks = bytes_equal(word, static_cast<__u8>(byte));
        REQUIRE(marks != 0);
        REQUIRE(first_byte(marks) == plain_first(word, static_cast<__u8>(byte)));
        REQUIRE((digit_marks(word) != 0) == plain_any_digit(word));
      }
    }
  }
}

TEST_CASE("words: random words") {
  std::mt19937_64 random(1);  // NOLINT(cert-msc51-cpp): the same words in every run
  for (int i = 0; i < 200000; ++i) {
    const __u64 word = random() & (i % 2 != 0 ? ~0ULL : 0x3f3f3f3f3f3f3f3fULL);
    const auto byte = static_cast<__u8>(i % 2 != 0 ? i : i & 0x3f);
    const __u64 marks = bytes_equal(word, byte);
    REQUIRE((marks == 0 ? 8 : first_byte(marks)) == plain_first(word, byte));
    REQUIRE((digit_marks(word) != 0) == plain_any_digit(word));
  }
}

TEST_CASE("words: control characters") {
  for (__u32 place = 0; place < 8; ++place) {
    for (__u32 byte = 0; byte < 256; ++byte) {
      const __u64 word = (0x4120e9ff7f304120ULL & ~(0xffULL << (8 * place))) | static_cast<__u64>(byte) << (8 * place);
      REQUIRE((bytes_below_space(word) != 0) == (byte < 0x20));
    }
  }
}

TEST_CASE("words: ranges of characters") {
  for (__u32 place = 0; place < 8; ++place) {
    for (__u32 byte = 0; byte < 256; ++byte) {
      const __u64 word = (0x203f5b7fc0dafe00ULL & ~(0xffULL << (8 * place))) | static_cast<__u64>(byte) << (8 * place);
      const __u64 marks = byte >= '@' && byte <= 'Z' ? 0x80ULL << (8 * place) : 0;
      REQUIRE(range_marks(word, '@', 'Z') == marks);
    }
  }
}

TEST_CASE("words: low bytes") {
  CHECK(low_bytes(~0ULL, 0) == 0);
  CHECK(low_bytes(~0ULL, 1) == 0xff);
  CHECK(low_bytes(~0ULL, 7) == 0x00ffffffffffffffULL);
}

}  // namespace monitor
