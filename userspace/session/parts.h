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
  const char* name;      // as the rows of kPrograms name it
  const char* programs;  // its programs, as messages name them
  // Returns the objects (see Link) to attach the hooks to for a target with these sockets; an empty list if the target
  // does not need the part. Null for the part that is loaded and attached with the engine.
  std::vector<std::string> (*objects)(const SocketList& held);

  constexpr bool is_core() const { return objects == nullptr; }
};

// Returns the kernel if the target listens on a Unix socket.
std::vector<std::string> objects_of_unix_part(const SocketList& held);

inline constexpr std::array kParts = {
    PartRow{"core", "the BPF programs", nullptr},  // an engine without one of these programs is damaged
    // Verifying these takes half of the time of a whole load.
    PartRow{"unix", "the BPF programs for Unix sockets", objects_of_unix_part},
};

// A row of the table, written as the part's name. A name that is not in the table does not compile.
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
