// SPDX-License-Identifier: Apache-2.0
// The engine that is attached on this host, as every command finds it: without targets that are over.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "base/result.h"
#include "host/procfs.h"
#include "session/engine.h"
#include "session/pins.h"

namespace monitor {

struct Attached {
  std::shared_ptr<Engine> engine;  // null: nothing is attached
  std::vector<TargetInfo> targets;
  std::vector<TargetInfo> ended;  // have ended, and are kept in case their addresses are served again

  // The target that the pid names, if it is attached.
  std::optional<TargetInfo> find(pid_t pid) const;

  // The target that counts the server, whose root it is, beside its own.
  std::optional<TargetInfo> find_beside(pid_t pid) const;
};

// The target beside whose root the server `pid` serves: the process itself or one below it was added for that.
Result<std::optional<TargetInfo>> target_beside(const Engine& engine, const std::vector<TargetInfo>& targets,
                                                const ProcFs& proc, pid_t pid);

// The engine's targets. If a root has ended while the server goes on under another of its processes, the target has
// that root.
Result<std::vector<TargetInfo>> current_targets(Engine& engine, const ProcFs& proc);

// Whether the pid is that of the target's root, or of one before it, which has ended.
bool is_named(const TargetInfo& target, pid_t pid, const ProcFs& proc);

// First removes targets that are over, unless a process still views them, and targets that a killed process left
// half-made; with the last target the engine, too. The caller holds no lock.
Result<Attached> open_attached(const Pins& pins, const ProcFs& proc);

// Removes the same without opening anything for the caller. A failure leaves them to the next command.
void remove_ended(const Pins& pins, const ProcFs& proc);

// The same for a caller that changes the engine and holds the exclusive lock: the engine stays, even without targets.
Result<std::optional<Engine>> open_to_change(const Pins& pins, const ProcFs& proc, const PinLock& lock);

// Whether the target has ended and is not kept any longer, or was left half-made.
bool is_over(const TargetInfo& target, const ProcFs& proc);

// Fails with kUsage if the options contradict the engine that is attached.
Status check_options(const EngineOptions& options, const Engine& engine);

}  // namespace monitor
