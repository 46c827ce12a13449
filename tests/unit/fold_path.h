// SPDX-License-Identifier: Apache-2.0
// Folds paths as the kernel side does, for tests that hold tables of them.
#pragma once

#include <algorithm>
#include <cstring>
#include <string>
#include <string_view>

#include "http1/path_fold.h"

namespace monitor {

// The endpoint that a request for `path` gets; "…" follows one that is cut. `raw`: as with --raw-paths.
inline std::string fold_path(std::string_view path, bool raw = false) {
  static fold scratch;
  static http1_window window;
  monitor_endpoint_key key{};
  const bool marked = path.size() > MONITOR_PATH_SIZE || std::any_of(path.begin(), path.end(), [](char c) {
                        return (c >= '0' && c <= '9') || (c >= '@' && c <= 'Z');
                      });

  window = {};
  std::memcpy(static_cast<void*>(window.bytes), path.data(), path.size());
  window.bytes[path.size()] = ' ';
  window.path_end = static_cast<__u32>(path.size());
  path_fold(&key, &scratch, &window, raw ? FOLD_SECRETS : marked ? FOLD_IDENTIFIERS : FOLD_UNMARKED);
  return std::string(static_cast<const char*>(key.path), key.path_length) +
         ((key.flags & ENDPOINT_PATH_CUT) != 0 ? "…" : "");
}

}  // namespace monitor
