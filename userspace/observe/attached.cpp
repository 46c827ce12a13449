// SPDX-License-Identifier: Apache-2.0
#include "observe/attached.h"

#include <algorithm>
#include <utility>

#include "base/boot_clock.h"
#include "base/contains.h"
#include "host/listener_hints.h"
#include "observe/follow.h"
#include "observe/handover.h"

namespace monitor {
namespace {

bool has_ended(const TargetInfo& target, const ProcFs& proc) {
  return !target.complete || is_gone(proc, target.root);
}

// Whether the target may be removed. A process that views a target takes a last sample after the server has ended, so
// the target stays until then.
bool may_remove(const TargetInfo& target, const Pins& pins, const ProcFs& proc) {
  return is_over(target, proc) && (!target.complete || !pins.has_viewer(target.index));
}

// Opens the engine and removes nothing.
Result<Attached> open_as_is(const Pins& pins) {
  Result<PinLock> lock = pins.lock_shared();
  if (!lock) {
    return pins.has_engine() ? Result<Attached>(std::move(lock).error()) : Attached{};
  }
  std::optional<Engine> engine = TRY(Engine::open(pins, *lock));
  if (!engine) {
    return Attached{};
  }
  Attached attached{std::make_shared<Engine>(*std::move(engine)), {}, {}};
  attached.targets = TRY(current_targets(*attached.engine, ProcFs()));
  return attached;
}

// Removes targets that are over, and with the last target the engine.
Status clean(const Pins& pins, const ProcFs& proc) {
  Result<PinLock> lock = pins.lock_exclusive();
  if (!lock) {
    return pins.has_engine() ? Status(std::move(lock).error()) : Status(Ok{});
  }
  Result<std::optional<Engine>> engine = open_to_change(pins, proc, *lock);
  if (!engine || !*engine) {
    pins.remove_empty_directory();
    return engine ? Status(Ok{}) : std::move(engine).error();
  }
  const std::vector<TargetInfo> left = TRY((*engine)->targets());
  return left.empty() ? pins.remove(*lock) : Status(Ok{});
}

}  // namespace

bool is_over(const TargetInfo& target, const ProcFs& proc) {
  const std::uint64_t kept_until = target.ended_ns + to_nanoseconds(target.keep_ended_seconds);
  return has_ended(target, proc) && (!target.complete || target.ended_ns == 0 || nanoseconds_since_boot() > kept_until);
}

bool is_named(const TargetInfo& target, pid_t pid, const ProcFs& proc) {
  return target.root.pid == pid || (contains(target.previous, pid) && !proc.process(pid));
}

Result<std::vector<TargetInfo>> current_targets(Engine& engine, const ProcFs& proc) {
  std::vector<TargetInfo> targets = TRY(engine.targets());
  for (TargetInfo& target : targets) {
    if (!target.complete || !is_gone(proc, target.root)) {
      continue;
    }
    TRY(engine.join_target(target, listener_hints(proc, target.root.pid)));
    Result<std::optional<Successor>> next = find_successor(engine, target.index, proc, target.root, "");
    if (!next || !*next) {
      continue;  // removed meanwhile, or it has ended
    }
    target.previous.insert(target.previous.begin(), target.root.pid);
    target.root = (*next)->root;
    target.moved = true;
    // Only a caller that holds the exclusive lock can. It also adds the processes that the kernel side has not seen:
    // from here on, it seeks no readers for this target.
    const Result<bool> recorded = engine.hand_over(target.index, target.root, listener_hints(proc, target.root.pid));
    const Result<Root> root = open_root(proc, target.root.pid);
    if (recorded && *recorded && root) {
      static_cast<void>(follow_more(engine, target.index, proc, *root));
    }
  }
  return targets;
}

std::optional<TargetInfo> Attached::find(pid_t pid) const {
  const ProcFs proc;
  const auto found = std::find_if(targets.begin(), targets.end(),
                                  [&](const TargetInfo& target) { return is_named(target, pid, proc); });
  return found == targets.end() ? std::nullopt : std::optional<TargetInfo>(*found);
}

Result<std::optional<TargetInfo>> target_beside(const Engine& engine, const std::vector<TargetInfo>& targets,
                                                const ProcFs& proc, pid_t pid) {
  for (const TargetInfo& target : targets) {
    const std::vector<ProcessIdentity> servers = TRY(servers_beside(engine, target.index, proc, target.root));
    if (std::any_of(servers.begin(), servers.end(),
                    [pid](const ProcessIdentity& server) { return server.pid == pid; })) {
      return std::optional(target);
    }
  }
  return std::optional<TargetInfo>();
}

std::optional<TargetInfo> Attached::find_beside(pid_t pid) const {
  Result<std::optional<TargetInfo>> found =
      engine ? target_beside(*engine, targets, ProcFs(), pid) : std::optional<TargetInfo>();
  return found ? *std::move(found) : std::nullopt;
}

Result<Attached> open_attached(const Pins& pins, const ProcFs& proc) {
  pins.remove_leftovers();
  if (!pins.has_engine()) {
    return Attached{};
  }
  Attached attached = TRY(open_as_is(pins));
  const auto& targets = attached.targets;
  const bool stale =
      attached.engine && (targets.empty() || std::any_of(targets.begin(), targets.end(), [&](const auto& target) {
                            return may_remove(target, pins, proc);
                          }));
  if (stale) {
    attached.engine.reset();
    TRY(clean(pins, proc));
    attached = TRY(open_as_is(pins));
  }
  const auto ended = std::stable_partition(attached.targets.begin(), attached.targets.end(),
                                           [&](const TargetInfo& target) { return !has_ended(target, proc); });
  attached.ended.assign(ended, attached.targets.end());
  attached.targets.erase(ended, attached.targets.end());
  return attached;
}

Result<std::optional<Engine>> open_to_change(const Pins& pins, const ProcFs& proc, const PinLock& lock) {
  Result<std::optional<Engine>> engine = Engine::open(pins, lock);
  if (!engine || !*engine) {
    return engine;
  }
  const std::vector<TargetInfo> targets = TRY(current_targets(**engine, proc));
  for (const TargetInfo& target : targets) {
    if (may_remove(target, pins, proc)) {
      TRY((*engine)->remove_target(target.index));
    }
  }
  return engine;
}

void remove_ended(const Pins& pins, const ProcFs& proc) {
  static_cast<void>(open_attached(pins, proc));
}

Status check_options(const EngineOptions& options, const Engine& engine) {
  const EngineInfo info = TRY(engine.info());
  if (options.profile != "auto" && options.profile != info.profile) {
    return Error{ErrorCode::kUsage,
                 "--profile " + options.profile + ": the attached engine uses the profile " + info.profile,
                 "leave --profile out, or detach first"};
  }
  if (options.raw_paths && !info.raw_paths) {
    return Error{ErrorCode::kUsage, "--raw-paths: the attached engine folds identifiers in paths",
                 "omit --raw-paths, or detach and attach again with it"};
  }
  if (options.show_secrets && !info.show_secrets) {
    return Error{ErrorCode::kUsage, "--show-secrets: the attached engine folds what can be a secret",
                 "omit --show-secrets, or detach and attach again with it"};
  }
  if (options.routes && options.routes->hash != info.routes_hash) {
    return Error{ErrorCode::kUsage,
                 std::string("--routes: the attached engine ") +
                     (info.routes_hash != 0 ? "uses other templates" : "uses no templates"),
                 "omit --routes, or detach and attach again with it"};
  }
  return Ok{};
}

}  // namespace monitor
