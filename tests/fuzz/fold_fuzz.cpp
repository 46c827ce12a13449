// SPDX-License-Identifier: Apache-2.0
// Folds the identifiers in any path and compares with a second, plain implementation. Also checks that folding is
// idempotent, and that all bytes after the path are zero.
#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <string_view>

#include "parser/trace.h"

namespace monitor::fuzz {
namespace {

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

bool is_hex(char c) {
  return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F');
}

bool is_uuid(std::string_view text) {
  constexpr std::string_view kForm = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
  return std::equal(text.begin(), text.end(), kForm.begin(), kForm.end(),
                    [](char c, char form) { return form == '-' ? c == '-' : is_hex(c); });
}

bool is_identifier(std::string_view text) {
  const bool digit = std::any_of(text.begin(), text.end(), is_digit);
  const bool digits = digit && std::all_of(text.begin(), text.end(), is_digit);
  const bool long_hex = digit && text.size() >= 16 && std::all_of(text.begin(), text.end(), is_hex);
  return digits || long_hex || is_uuid(text);
}

// The expected result of path_fold, without a limit on its length.
std::string plainly_folded(std::string_view path) {
  std::string folded;
  for (std::size_t begin = 0;;) {
    const std::size_t end = std::min(path.find('/', begin), path.size());
    const std::string_view segment = path.substr(begin, end - begin);
    folded += is_identifier(segment) ? "{id}" : segment;
    if (end == path.size()) {
      return folded;
    }
    folded += '/';
    begin = end + 1;
  }
}

std::string_view path_of(const monitor_endpoint_key& key) {
  return {static_cast<const char*>(key.path), key.path_length};
}

void require(bool condition, const char* what, const monitor_endpoint_key& key) {
  if (!condition) {
    const std::string_view path = path_of(key);
    std::fprintf(stderr, "%s: %.*s\n", what, static_cast<int>(path.size()), path.data());
    std::abort();
  }
}

bool room_is_clean(const monitor_endpoint_key& key) {
  const char* const path = static_cast<const char*>(key.path);
  return std::all_of(path + key.path_length, path + MONITOR_PATH_SIZE, [](char c) { return c == 0; });
}

void check(std::string_view path) {
  static fold scratch;
  monitor_endpoint_key key{};
  std::memcpy(static_cast<void*>(key.path), path.data(), path.size());
  key.path_length = static_cast<__u8>(path.size());
  std::memset(static_cast<void*>(&scratch), '/', sizeof(scratch));

  const std::string expected = plainly_folded(path);
  const bool cut = expected.size() > MONITOR_PATH_SIZE;
  path_fold(&key, &scratch);
  require(path_of(key) == std::string_view(expected).substr(0, MONITOR_PATH_SIZE), "unexpected path", key);
  require(((key.flags & ENDPOINT_PATH_CUT) != 0) == cut, "wrong ENDPOINT_PATH_CUT", key);
  require(room_is_clean(key), "nonzero bytes after the path", key);

  // Skip this for a cut path: without its end, the last segment can become an identifier.
  if (!cut) {
    const monitor_endpoint_key once = key;
    path_fold(&key, &scratch);
    require(std::memcmp(&once, &key, sizeof(key)) == 0, "folding twice is not folding once", key);
  }
}

}  // namespace
}  // namespace monitor::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size <= MONITOR_PATH_SIZE) {
    monitor::fuzz::check({reinterpret_cast<const char*>(data), size});
  }
  return 0;
}
