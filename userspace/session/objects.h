// SPDX-License-Identifier: Apache-2.0
// The engine's maps and programs by descriptor, whether this process loaded them or found them pinned.
#pragma once

#include <monitor/abi.h>

#include <array>
#include <string>
#include <utility>

#include "base/fd.h"
#include "base/result.h"
#include "session/map.h"
#include "session/maps.h"
#include "session/parts.h"
#include "session/profile.h"
#include "session/programs.h"

namespace monitor {

class Program {
 public:
  Program() = default;
  Program(std::string name, Fd fd) : name_(std::move(name)), fd_(std::move(fd)) {}

  // Whether it is loaded: a profile has no hooks of the other one, and some programs are loaded on demand.
  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  Fd fd_;
};

struct Objects {
  Profile profile = Profile::kSocket;
  std::array<Map, kMaps.size()> maps;              // by the rows of kMaps
  std::array<Program, kPrograms.size()> programs;  // by the rows of kPrograms

  // The maps of MapUse::kVariable, in place. The process that writes `iter_request` holds the engine's lock.
  Shared<monitor_iter_request> iter_request;
  Shared<FollowedBits> followed;
  Shared<std::uint64_t> orphaned_ns;
  Shared<monitor_served> served;
  Shared<monitor_evictions> evictions;

  const Map& map(MapId id) const { return maps[id.index()]; }
  const Program& program(ProgramId id) const { return programs[id.index()]; }

  // Sets the members above. `maps` must be complete.
  Status share();
};

// Calls `take(id)` for each program that an engine of the profile has in this part.
template <typename Take>
Status for_each_program(Profile profile, PartId part, const Take& take) {
  for (std::size_t index = 0; index < kPrograms.size(); ++index) {
    if (kPrograms[index].part == part && kPrograms[index].runs_under(profile)) {
      TRY(take(ProgramId(index)));
    }
  }
  return Ok{};
}

}  // namespace monitor
