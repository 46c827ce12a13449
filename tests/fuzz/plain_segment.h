// SPDX-License-Identifier: Apache-2.0
// What a segment of a path is, by the rules of bpf/http1/segment.h and identifier.h, with whole strings and no shift
// registers: a second implementation to compare with.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace monitor::fuzz {

struct PlainSegment {
  bool identifier = false;
  bool secret = false;
  bool short_secret = false;  // a secret where one is expected
  bool precedes_secrets = false;
  bool long_name = false;
  bool hexadecimal = false;  // nothing but hexadecimal digits and separators
  bool has_digit = false;
  bool has_equals = false;
  bool doi_prefix = false;
  std::size_t colons = 0;
};

// `text` is without escapes.
PlainSegment classify(const std::string& text);

bool has_sigil(std::string_view text);

}  // namespace monitor::fuzz
