// SPDX-License-Identifier: Apache-2.0
// The links that keep an engine's hooks attached: one for each program and object that it is attached to. This process
// holds them, or the pins of a pinned engine do; in that case the hooks outlive this process.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "session/objects.h"
#include "session/pins.h"
#include "session/programs.h"

namespace monitor {

// The object that a hook is attached to: the kernel, or something of which there are several, such as a library of a
// process.
inline constexpr const char* kKernel = "";

struct Link {
  ProgramId program;
  std::string object;
  Fd fd;
};

// The name of a link's pin: PROGRAM, or PROGRAM@OBJECT. bpffs accepts neither '.' nor '/' in a name, so '.', '/',
// '@' and '%' of the object become %XX.
std::string link_pin_name(ProgramId program, std::string_view object);

class Links {
 public:
  bool has(ProgramId program, const std::string& object = kKernel) const;

  // Attaches the program, which is loaded. Pins the program and the link, if the engine is pinned.
  Status attach(const Objects& objects, ProgramId id, const std::string& object = kKernel);

  // Detaches every program that is attached to the object.
  Status detach(const std::string& object);

  // The links that this process holds, for Pins::pin_all.
  std::vector<Pins::Item> to_pin() const;

  // From now on the pins hold the links.
  void hand_over(const Pins& pins);

 private:
  std::vector<Link> held_;  // empty if the engine is pinned
  std::optional<Pins> pins_;
};

}  // namespace monitor
