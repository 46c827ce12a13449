// SPDX-License-Identifier: Apache-2.0
#include "output/warnings.h"

#include <fmt/format.h>

#include <algorithm>

namespace monitor {
namespace {

const EndpointCounters* find_other(const Snapshot& snapshot) {
  const auto found = std::find_if(
      snapshot.endpoints.begin(), snapshot.endpoints.end(),
      [](const EndpointCounters& endpoint) { return endpoint.method.empty() && endpoint.path == "(other)"; });
  return found == snapshot.endpoints.end() ? nullptr : &*found;
}

}  // namespace

std::uint64_t other_requests(const Snapshot& snapshot) {
  const EndpointCounters* const other = find_other(snapshot);
  return other != nullptr ? other->completed : 0;
}

std::uint64_t crowded_out(const Snapshot& snapshot) {
  const EndpointCounters* const other = find_other(snapshot);
  const std::uint64_t requests = other != nullptr ? other->completed + other->active : 0;
  const auto pipelined = snapshot.undercount.find("pipeline");
  const std::uint64_t known = pipelined == snapshot.undercount.end() ? 0 : pipelined->second;
  return requests > known ? requests - known : 0;
}

std::vector<std::string> warnings(const Snapshot& snapshot) {
  std::vector<std::string> list;
  if (const std::uint64_t requests = crowded_out(snapshot); requests > 0) {
    list.push_back(fmt::format(
        "The table of endpoints is full: {} requests count under (other). --routes FILE names endpoints whose paths "
        "differ, and --max-endpoints N of monitor attach makes room",
        requests));
  }
  return list;
}

}  // namespace monitor
