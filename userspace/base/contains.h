// SPDX-License-Identifier: Apache-2.0
#pragma once

#include <algorithm>

namespace monitor {

bool contains(const auto& values, const auto& value) {
  return std::find(values.begin(), values.end(), value) != values.end();
}

}  // namespace monitor
