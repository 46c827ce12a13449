// SPDX-License-Identifier: Apache-2.0
// The engine that is attached on this host, as every command finds it: after what is gone was cleaned up.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "cli/options.h"
#include "host/procfs.h"
#include "session/engine.h"
#include "session/pins.h"

namespace monitor {

struct Attached {
  std::shared_ptr<Engine> engine;  // none: nothing is attached
  std::vector<TargetInfo> targets;

  // The target with that root, none when it is not attached.
  std::optional<TargetInfo> find(pid_t root) const;
};

// Targets that have ended, or were left half-made by whoever was killed, are removed first, unless somebody looks at
// them still; with the last one the engine. To be called without a lock.
Result<Attached> open_attached(const Pins& pins, const ProcFs& proc);

// The same under the exclusive lock, for who is to change it: the engine stays, even without targets.
Result<std::optional<Engine>> open_to_change(const Pins& pins, const ProcFs& proc, const PinLock& lock);

// Fails with kUsage when what was asked for contradicts the engine that is there.
Status check_choice(const EngineOptions& choice, const Engine& engine);

}  // namespace monitor
