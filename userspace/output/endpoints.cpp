// SPDX-License-Identifier: Apache-2.0
// Sums the requests in flight by displayed path, and escapes paths that could pass for a special endpoint.
#include "output/endpoints.h"

#include <algorithm>
#include <map>

#include "output/text.h"

namespace monitor {
namespace {

void escape_byte(char byte, std::string_view escape, std::string& text) {
  for (std::size_t at = text.find(byte); at != std::string::npos; at = text.find(byte, at)) {
    text.replace(at, 1, escape);
  }
}

}  // namespace

std::string endpoint_path(const EndpointCounters& endpoint, bool ascii_only) {
  std::string text = display_path(endpoint.path, endpoint.path_cut, ascii_only);
  const bool special = endpoint.method.empty();
  if (special) {
    return text;
  }
  escape_byte(' ', "\\x20", text);
  if (text.starts_with('(')) {
    text.replace(0, 1, "\\x28");
  }
  return text;
}

std::vector<ActivePath> active_paths(const Snapshot& snapshot, bool ascii_only) {
  std::map<std::string, std::uint64_t> active;
  for (const EndpointCounters& endpoint : snapshot.endpoints) {
    if (endpoint.active > 0) {
      active[endpoint_path(endpoint, ascii_only)] += endpoint.active;
    }
  }
  std::vector<ActivePath> paths;
  paths.reserve(active.size());
  for (const auto& [path, count] : active) {
    paths.push_back({path, count});
  }
  std::stable_sort(paths.begin(), paths.end(),
                   [](const ActivePath& left, const ActivePath& right) { return left.active > right.active; });
  return paths;
}

}  // namespace monitor
