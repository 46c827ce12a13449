// SPDX-License-Identifier: Apache-2.0
// Iterates over the entries of a BPF map, a hash or an array, while the kernel side changes it.
#pragma once

#include <bpf/bpf.h>

#include <cerrno>
#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// Calls `take(key, value)` for every entry of the map. It reads in batches, because iterating over a hash key by key
// starts again when the current key is deleted meanwhile, and takes milliseconds for an array of thousands. An entry
// made or deleted while this runs may be missing.
template <typename Key, typename Value, typename Take>
Status for_each_entry(const Map& map, Take take) {
  constexpr std::uint32_t kBatch = 256;
  std::vector<Key> keys(kBatch);
  std::vector<Value> values(kBatch);
  std::uint64_t cursor = 0;
  bool first = true;
  for (;;) {
    auto count = static_cast<std::uint32_t>(keys.size());
    std::uint64_t next = 0;
    const int failed =
        bpf_map_lookup_batch(map.fd(), first ? nullptr : &cursor, &next, keys.data(), values.data(), &count, nullptr);
    const int saved_errno = errno;
    if (failed != 0 && saved_errno == ENOSPC) {
      // one bucket holds more than fits
      keys.resize(keys.size() * 2);
      values.resize(keys.size());
      continue;
    }
    if (failed != 0 && saved_errno != ENOENT) {
      return system_error(saved_errno, "read the map " + map.name());
    }
    for (std::uint32_t i = 0; i < count; ++i) {
      take(keys[i], values[i]);
    }
    if (failed != 0) {
      return Ok{};  // ENOENT: that was the last batch
    }
    cursor = next;
    first = false;
  }
}

}  // namespace monitor
