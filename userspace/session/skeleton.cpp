// SPDX-License-Identifier: Apache-2.0
#include "session/skeleton.h"

#include <bpf/libbpf.h>

#include <cstdlib>
#include <string>

#include "engine.skel.h"
#include "engine_syscall.skel.h"

namespace monitor {

void DestroySkeleton::operator()(engine_bpf* skeleton) const {
  engine_bpf__destroy(skeleton);
}

Skeleton open_skeleton(Profile profile) {
  // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): engine_bpf__destroy frees it
  Skeleton skeleton{static_cast<engine_bpf*>(std::calloc(1, sizeof(engine_bpf)))};
  if (!skeleton || engine_bpf__create_skeleton(skeleton.get()) != 0) {
    return nullptr;
  }
  if (profile == Profile::kSyscall) {
    bpf_object_skeleton& parts = *skeleton->skeleton;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): libbpf only reads it
    parts.data = const_cast<void*>(engine_syscall_bpf__elf_bytes(&parts.data_sz));
  }
  return bpf_object__open_skeleton(skeleton->skeleton, nullptr) == 0 ? std::move(skeleton) : nullptr;
}

void select_programs(engine_bpf& bpf, Profile profile, PartId part) {
  bpf.rodata->by_address = profile == Profile::kSyscall;
  for (const ProgramRow& row : kPrograms) {
    bpf_program__set_autoload(bpf_object__find_program_by_name(bpf.obj, row.name),
                              row.part == part && row.runs_under(profile));
  }
}

bpf_map* find_map(const engine_bpf& bpf, const MapRow& row) {
  // The map of a variable has the name of its section.
  const std::string name = (row.use == MapUse::kVariable ? ".data." : "") + std::string(row.name);
  return bpf_object__find_map_by_name(bpf.obj, name.c_str());
}

}  // namespace monitor
