// SPDX-License-Identifier: Apache-2.0
// The engine: the BPF programs of bpf/, loaded and attached, and the maps that they count in. Either this process holds
// it alone, and when it goes nothing stays attached; or it is pinned (pins.h), and this process is one of those that
// look at it. The only folder that knows libbpf.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/counters.h"
#include "model/host_sample.h"
#include "model/sessions.h"
#include "session/engine_options.h"

namespace monitor {

class PinLock;
class Pins;

// A process, identified for good: a pid alone can be another one's by now.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ns = 0;  // since boot
  bool operator==(const ProcessIdentity&) const = default;
};

struct TargetInfo {
  unsigned index = 0;
  ProcessIdentity root;
  std::uint64_t since_ns = 0;  // when counting began, since boot
  bool complete = true;        // not one whose registration or removal was cut off
};

class Engine {
 public:
  // Loads and attaches. Fails with kNotPermitted naming the missing capability, or kUnsupported naming what the kernel
  // lacks. Counts nothing until a target is added.
  static Result<Engine> load(const EngineOptions& options);

  // The pinned engine; none when there is none. Fails with kUnsupported when it is of another ABI version, and when a
  // part of it is missing. Opened under the exclusive lock, it may be used no longer than that is held.
  static Result<std::optional<Engine>> open(const Pins& pins, const PinLock& lock);

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  // Pins it: from then on it outlives this process. Either whole or not at all.
  Status pin(const Pins& pins, const PinLock& lock);
  bool is_pinned() const;

  // ---- targets: of a pinned engine the caller holds the exclusive lock ----

  // Follows the server made of `processes` (the root first). Processes that they fork later are followed by the
  // kernel; ones forked while this call runs are the caller's to find: call again with the new list until it is
  // stable (processes already followed are left as they are), and complete_target then. Returns the target's index for
  // the calls below.
  Result<unsigned> add_target(const ProcessIdentity& root, const std::vector<pid_t>& processes);
  Status add_processes(unsigned target, const std::vector<pid_t>& processes);
  Status complete_target(unsigned target);

  // Follows it no longer and gives back all that it holds. Whoever still looks at it is told so.
  Status remove_target(unsigned target);

  // ---- looks: anybody, at any time ----

  Result<std::vector<TargetInfo>> targets() const;

  // Begins to look at a target that is followed already.
  Status join_target(const TargetInfo& target);

  // Everything counted for the target so far. Exact for each word; words are read one after another. Fails with
  // kNoTarget when the target was removed since it was added or joined.
  Result<Counters> read(unsigned target);

  // Walks the kernel's list of the sockets that `processes` hold now. Fails as `read` does.
  Result<SocketsLook> look_at_sockets(unsigned target, const std::vector<pid_t>& processes);

  // Whether the look before left doubts that a second one, a moment later, settles: events that were lost.
  bool has_doubts(unsigned target) const;

  // Processes of the target that live now, as the fork and exit hooks know them, sorted.
  Result<std::vector<pid_t>> processes(unsigned target) const;

  // The CPU that the processes of `now` had used at an earlier look of whoever, at least `min_age_seconds` ago; `now`
  // takes its place. None when there was none.
  Result<std::optional<HostSample>> exchange_cpu(const HostSample& now, double min_age_seconds);

  Result<EngineInfo> info() const;
  Result<std::vector<MapUsage>> usage() const;

  struct State;  // private to session/

 private:
  explicit Engine(std::unique_ptr<State> state);

  // Fails unless the target that is looked at is counted still: with kNoTarget when it was detached, since another one
  // may have its place; and when a hook of the engine is gone. Who holds the engine's lock may rely on it meanwhile.
  Status check_counts(unsigned target) const;

  std::unique_ptr<State> state_;
};

}  // namespace monitor
