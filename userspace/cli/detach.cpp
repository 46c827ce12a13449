// SPDX-License-Identifier: Apache-2.0
#include "cli/detach.h"

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <utility>
#include <vector>

#include "cli/change_engine.h"
#include "observe/attached.h"
#include "observe/follow.h"

namespace monitor {
namespace {

Error not_attached(pid_t pid) {
  return Error{ErrorCode::kNoTarget, fmt::format("pid {} is not attached", pid),
               "monitor sessions lists the attached servers"};
}

// The targets to detach; empty if nothing is attached.
Result<std::vector<TargetInfo>> choose_targets(const DetachOptions& options, const std::vector<TargetInfo>& targets,
                                               const ProcFs& proc) {
  if (options.all) {
    return targets;
  }
  std::vector<TargetInfo> chosen;
  for (const pid_t pid : options.pids) {
    const auto found = std::find_if(targets.begin(), targets.end(),
                                    [&](const TargetInfo& target) { return is_named(target, pid, proc); });
    if (found == targets.end()) {
      return not_attached(pid);
    }
    chosen.push_back(*found);
  }
  if (!options.pids.empty() || targets.size() <= 1) {
    return options.pids.empty() ? targets : chosen;
  }
  Error several{ErrorCode::kUsage, fmt::format("{} servers are attached", targets.size()),
                "choose one of them, or all:"};
  for (const TargetInfo& target : targets) {
    several.hint += fmt::format("\n  sudo monitor detach --pid {}", target.root.pid);
  }
  several.hint += "\n  sudo monitor detach --all";
  return several;
}

Result<int> nothing_attached(const DetachOptions& options, Reporter& reporter) {
  if (!options.pids.empty()) {
    return not_attached(options.pids.front());
  }
  TRY(say("No server is attached.", reporter));
  return 0;
}

struct Detached {
  std::vector<TargetInfo> targets;
  bool damaged = false;  // the engine could not be opened, so its targets are unknown
};

// With --all, removes the engine although it could not be opened.
Result<Detached> remove_damaged(const DetachOptions& options, const Pins& pins, const PinLock& lock, Error error) {
  if (!options.all) {
    return error;
  }
  TRY(pins.remove(lock));
  return Detached{{}, true};
}

// Removes the targets, and with the last target the engine.
Result<Detached> detach_targets(const DetachOptions& options, const Pins& pins, const ProcFs& proc) {
  Result<PinLock> lock = pins.lock_exclusive();
  if (!lock) {
    return pins.directory_exists() ? Result<Detached>(std::move(lock).error()) : Detached{};
  }
  Result<std::optional<Engine>> engine = Engine::open(pins, *lock);
  if (!engine) {
    return remove_damaged(options, pins, *lock, std::move(engine).error());
  }
  if (!*engine) {
    pins.remove_empty_directory();
    return Detached{};
  }
  const std::vector<TargetInfo> targets = TRY(current_targets(**engine, proc));
  std::vector<TargetInfo> chosen = TRY(choose_targets(options, targets, proc));
  std::size_t left = targets.size();
  for (const TargetInfo& target : targets) {
    const bool is_chosen =
        std::any_of(chosen.begin(), chosen.end(), [&](const TargetInfo& other) { return other.index == target.index; });
    if (!is_chosen && !is_over(target, proc)) {
      continue;
    }
    TRY((*engine)->remove_target(target.index));
    left -= 1;
  }
  if (left == 0) {
    TRY(pins.remove(*lock));
  }
  return Detached{std::move(chosen)};
}

}  // namespace

Result<int> detach(const DetachOptions& options, Reporter& reporter) {
  defer_signals();
  const Pins pins(options.pins);
  TRY(pins.check_access());
  if (!pins.directory_exists()) {
    return nothing_attached(options, reporter);
  }
  const Detached detached = TRY(detach_targets(options, pins, ProcFs()));
  if (detached.damaged) {
    TRY(say("removed the remains of the engine at " + pins.directory(), reporter));
    return 0;
  }
  if (detached.targets.empty()) {
    return nothing_attached(options, reporter);
  }
  for (const TargetInfo& target : detached.targets) {
    TRY(say(fmt::format("detached pid {}", target.root.pid), reporter));
  }
  return 0;
}

}  // namespace monitor
