// SPDX-License-Identifier: Apache-2.0
// Finds a row of a constant table by its name while compiling, so that a misspelled name does not compile.
#pragma once

#include <array>
#include <cstddef>
#include <string_view>

namespace monitor {

template <typename Row, std::size_t N>
consteval std::size_t row_index(const std::array<Row, N>& table, std::string_view name) {
  for (std::size_t index = 0; index < N; ++index) {
    if (name == table[index].name) {
      return index;
    }
  }
  throw "the table has no row of this name";
}

}  // namespace monitor
