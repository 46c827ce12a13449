// SPDX-License-Identifier: Apache-2.0
// The table of the engine's parts: the programs of a part are loaded together, when a target first needs them. A new
// part is one row and the programs whose rows name it.
#pragma once

#include <array>
#include <cstddef>
#include <string>
#include <vector>

#include "session/table.h"

namespace monitor {

struct SocketList;

struct PartRow {
  const char* name;      // as the rows of kPrograms have it
  const char* programs;  // its programs, as messages have them
  // Returns the objects that a target with these sockets needs the hooks attached to (see Link): none, if it does not
  // need the part. Null for the part that is loaded and attached with the engine.
  std::vector<std::string> (*objects)(const SocketList& held);

  constexpr bool is_core() const { return objects == nullptr; }
};

// If a target listens on a Unix socket: the kernel.
std::vector<std::string> objects_of_unix_part(const SocketList& held);

inline constexpr std::array kParts = {
    PartRow{"core", "the BPF programs", nullptr},  // an engine without one of these programs is damaged
    // Verifying these takes half of the time of a whole load.
    PartRow{"unix", "the BPF programs for Unix sockets", objects_of_unix_part},
};

// A row of the table: written as the part's name, which must be in the table for the code to compile.
class PartId {
 public:
  consteval PartId(const char* name) : index_(row_index(kParts, name)) {}  // NOLINT(google-explicit-constructor)
  constexpr explicit PartId(std::size_t index) : index_(index) {}

  constexpr const PartRow& row() const { return kParts[index_]; }
  bool operator==(const PartId&) const = default;

 private:
  std::size_t index_;
};

}  // namespace monitor
