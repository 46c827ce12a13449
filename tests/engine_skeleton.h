// SPDX-License-Identifier: Apache-2.0
// Opens either of the engine's two BPF objects; that needs no privileges. Both have the same maps, programs and
// variables, so the skeleton of one serves the other.
#pragma once

#include <bpf/libbpf.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "engine.skel.h"
#include "engine_syscall.skel.h"

namespace monitor {

struct DestroySkeleton {
  void operator()(engine_bpf* skeleton) const { engine_bpf__destroy(skeleton); }
};
using EngineSkeleton = std::unique_ptr<engine_bpf, DestroySkeleton>;

// `by_address`: the object of the profile "syscall". Null if it can't be opened.
inline EngineSkeleton open_engine(bool by_address) {
  // NOLINTNEXTLINE(cppcoreguidelines-no-malloc): engine_bpf__destroy frees it
  EngineSkeleton skeleton{static_cast<engine_bpf*>(std::calloc(1, sizeof(engine_bpf)))};
  if (!skeleton || engine_bpf__create_skeleton(skeleton.get()) != 0) {
    return nullptr;
  }
  if (by_address) {
    bpf_object_skeleton& parts = *skeleton->skeleton;
    // NOLINTNEXTLINE(cppcoreguidelines-pro-type-const-cast): libbpf only reads it
    parts.data = const_cast<void*>(engine_syscall_bpf__elf_bytes(&parts.data_sz));
  }
  return bpf_object__open_skeleton(skeleton->skeleton, nullptr) == 0 ? std::move(skeleton) : nullptr;
}

}  // namespace monitor
