// SPDX-License-Identifier: Apache-2.0
// enum monitor_undercount in the words of the output. Private to session/.
#pragma once

#include <monitor/abi.h>

#include <cstdint>
#include <map>
#include <span>
#include <string>

namespace monitor {

// Every cause, also those that never occurred.
std::map<std::string, std::uint64_t> undercount_by_cause(std::span<const __abi_u64, UNDERCOUNT_CAUSES> counts);

// The word for one cause.
const char* cause_name(monitor_undercount cause);

}  // namespace monitor
