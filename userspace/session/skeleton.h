// SPDX-License-Identifier: Apache-2.0
// The built BPF objects, opened: engine.bpf.c for the profile "socket", engine_syscall.bpf.c for the other. Both have
// the same programs, maps and variables, so that one skeleton serves both. Only skeleton.cpp and load.cpp use it.
#pragma once

#include <memory>

#include "session/maps.h"
#include "session/parts.h"
#include "session/profile.h"
#include "session/programs.h"

struct bpf_map;
struct engine_bpf;

namespace monitor {

struct DestroySkeleton {
  void operator()(engine_bpf* skeleton) const;
};
using Skeleton = std::unique_ptr<engine_bpf, DestroySkeleton>;

// Opens the object of the profile. Returns null and sets errno if that fails.
Skeleton open_skeleton(Profile profile);

// Chooses, before the load, the programs to load: those of one part under the object's profile.
void select_programs(engine_bpf& bpf, Profile profile, PartId part);

// Returns null if the object has no such map.
bpf_map* find_map(const engine_bpf& bpf, const MapRow& row);

}  // namespace monitor
