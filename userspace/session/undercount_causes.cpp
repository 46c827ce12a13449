// SPDX-License-Identifier: Apache-2.0
#include "session/undercount_causes.h"

#include <array>
#include <cstddef>

namespace monitor {
namespace {

constexpr std::array<const char*, UNDERCOUNT_CAUSES> kCauses = {
    nullptr,       "gap",      "registers",    "memory",    "protocol", "tls",    "http2",
    "connections", "pipeline", "missed_event", "processes", "quic",     "compat",
};

}  // namespace

std::map<std::string, std::uint64_t> undercount_by_cause(std::span<const __abi_u64, UNDERCOUNT_CAUSES> counts) {
  std::map<std::string, std::uint64_t> causes;
  for (std::size_t cause = UNDERCOUNT_NONE + 1; cause < kCauses.size(); ++cause) {
    causes[kCauses[cause]] = counts[cause];
  }
  return causes;
}

const char* cause_name(monitor_undercount cause) {
  return kCauses[cause];
}

}  // namespace monitor
