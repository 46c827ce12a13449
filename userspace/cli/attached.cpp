// SPDX-License-Identifier: Apache-2.0
#include "cli/attached.h"

#include <algorithm>
#include <utility>

#include "cli/follow.h"

namespace monitor {
namespace {

bool is_over(const TargetInfo& target, const ProcFs& proc) {
  return !target.complete || is_gone(proc, target.root);
}

// What may be removed. Of one that has ended whoever watches it takes a last sample: that goes first.
bool may_remove(const TargetInfo& target, const Pins& pins, const ProcFs& proc) {
  return is_over(target, proc) && (!target.complete || !pins.is_viewed(target.index));
}

Result<Attached> look(const Pins& pins) {
  Result<PinLock> lock = pins.lock_shared();
  if (!lock) {
    return pins.exist() ? Result<Attached>(std::move(lock).error()) : Attached{};
  }
  Result<std::optional<Engine>> engine = Engine::open(pins, *lock);
  if (!engine) {
    return std::move(engine).error();
  }
  if (!*engine) {
    return Attached{};
  }
  Attached attached{std::make_shared<Engine>(*std::move(*engine)), {}};
  Result<std::vector<TargetInfo>> targets = attached.engine->targets();
  if (!targets) {
    return std::move(targets).error();
  }
  attached.targets = *std::move(targets);
  return attached;
}

Status clean(const Pins& pins, const ProcFs& proc) {
  Result<PinLock> lock = pins.lock_exclusive();
  if (!lock) {
    return pins.exist() ? Status(std::move(lock).error()) : Status(Ok{});
  }
  Result<std::optional<Engine>> engine = open_to_change(pins, proc, *lock);
  if (!engine || !*engine) {
    pins.tidy();
    return engine ? Status(Ok{}) : std::move(engine).error();
  }
  Result<std::vector<TargetInfo>> left = (*engine)->targets();
  if (!left) {
    return std::move(left).error();
  }
  return left->empty() ? pins.remove(*lock) : Status(Ok{});
}

}  // namespace

std::optional<TargetInfo> Attached::find(pid_t root) const {
  const auto found = std::find_if(targets.begin(), targets.end(),
                                  [root](const TargetInfo& target) { return target.root.pid == root; });
  return found == targets.end() ? std::nullopt : std::optional<TargetInfo>(*found);
}

Result<Attached> open_attached(const Pins& pins, const ProcFs& proc) {
  pins.clear_leftovers();
  if (!pins.exist()) {
    return Attached{};
  }
  Result<Attached> attached = look(pins);
  if (!attached) {
    return attached;
  }
  const auto& targets = attached->targets;
  const bool stale =
      attached->engine && (targets.empty() || std::any_of(targets.begin(), targets.end(), [&](const auto& target) {
                             return may_remove(target, pins, proc);
                           }));
  if (stale) {
    attached->engine.reset();
    if (Status status = clean(pins, proc); !status) {
      return std::move(status).error();
    }
    attached = look(pins);
    if (!attached) {
      return attached;
    }
  }
  std::erase_if(attached->targets, [&](const TargetInfo& target) { return is_over(target, proc); });
  return attached;
}

Result<std::optional<Engine>> open_to_change(const Pins& pins, const ProcFs& proc, const PinLock& lock) {
  Result<std::optional<Engine>> engine = Engine::open(pins, lock);
  if (!engine || !*engine) {
    return engine;
  }
  Result<std::vector<TargetInfo>> targets = (*engine)->targets();
  if (!targets) {
    return std::move(targets).error();
  }
  for (const TargetInfo& target : *targets) {
    if (may_remove(target, pins, proc)) {
      if (Status status = (*engine)->remove_target(target.index); !status) {
        return std::move(status).error();
      }
    }
  }
  return engine;
}

Status check_choice(const EngineOptions& choice, const Engine& engine) {
  const Result<EngineInfo> info = engine.info();
  if (!info) {
    return info.error();
  }
  if (choice.profile != "auto" && choice.profile != info->profile) {
    return Error{ErrorCode::kUsage,
                 "--profile " + choice.profile + ": the engine that is attached has the profile " + info->profile,
                 "leave --profile out, or detach first"};
  }
  if (choice.raw_paths && !info->raw_paths) {
    return Error{ErrorCode::kUsage, "--raw-paths: the engine that is attached folds identifiers in paths",
                 "leave --raw-paths out, or detach, and attach with it"};
  }
  return Ok{};
}

}  // namespace monitor
