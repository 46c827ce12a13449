// SPDX-License-Identifier: Apache-2.0
// The figures of a server by the names that the JSON gives them; whatever writes one number a name is made from it.
#pragma once

#include <cstdint>
#include <string>
#include <variant>
#include <vector>

#include "model/snapshot.h"

namespace monitor {

using Number = std::variant<std::uint64_t, double>;

struct NamedFigure {
  const char* name;
  Number value;         // a double has three decimals
  bool counts = false;  // it only grows while the server lives, and what it grows by is what happened
};

// In the order of the JSON; without those of the system where they are not to be shown.
std::vector<NamedFigure> named_figures(const Snapshot& snapshot);

// "4", "42.5"
std::string number_text(const Number& number);

}  // namespace monitor
