// SPDX-License-Identifier: Apache-2.0
// Loads the BPF object and attaches its hooks. The only place that knows the skeleton: what comes out are descriptors.
#pragma once

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "session/engine.h"
#include "session/objects.h"

struct engine_bpf;

namespace monitor {

// A hook that is attached for as long as somebody holds the descriptor, or a pin of it.
struct Link {
  std::string name;  // of its program
  Fd fd;
};

struct Loaded {
  Objects objects;
  std::vector<Link> links;
};

// Everything but the hooks on Unix sockets is loaded and attached. Fails as Engine::load says.
Result<Loaded> load_objects(const EngineOptions& options);

// Loads those, which make up half of the time that a load takes, onto the maps that are there. A part of the programs
// of `objects` from then on.
Status load_unix_hooks(Objects& objects);

// Before the load: which programs are needed. `by_address`: for the profile "syscall".
enum class Part { kAllButUnix, kUnix };
void select_programs(engine_bpf& bpf, bool by_address, Part part);

// Attaches a program to the tracepoint that it was loaded for.
Result<Link> attach_hook(const Program& program);

}  // namespace monitor
