// SPDX-License-Identifier: Apache-2.0
// The engine: the BPF programs of bpf/, loaded and attached, and the maps that they count in. Either this process alone
// holds it, and nothing stays attached when the process ends; or it is pinned (pins.h), and any number of processes
// observe it. This is the only folder that knows libbpf.
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

// Identifies a process for good: its pid alone can pass to another process.
struct ProcessIdentity {
  pid_t pid = 0;
  std::uint64_t start_ns = 0;  // since boot
  bool operator==(const ProcessIdentity&) const = default;
};

struct TargetInfo {
  unsigned index = 0;
  ProcessIdentity root;
  std::uint64_t since_ns = 0;     // when counting began, since boot
  bool complete = true;           // false: its registration or removal was cut off
  std::vector<pid_t> previous;    // the roots before this one that a command has seen, the latest first
  bool moved = false;             // the engine has no record yet that this is its root
  std::uint64_t ended_ns = 0;     // when a root of it ended last, since boot; 0: no root has ended, or nobody knows
  double keep_ended_seconds = 0;  // for how long it stays after that
};

// A process has begun to listen on a TCP port.
struct Listen {
  pid_t pid = 0;
  std::uint64_t at_ns = 0;  // since boot
};

// The sockets of a target's processes at one moment: what a Snapshot shows of them, and the list that Engine::maintain
// works on.
struct SocketList;
struct ListedSockets {
  SocketsSample sample;
  std::shared_ptr<const SocketList> list;  // private to session/
};

class Engine {
 public:
  // Loads and attaches. Fails with kNotPermitted naming the missing capability, or kUnsupported naming what the kernel
  // lacks. Counts nothing until a target is added.
  static Result<Engine> load(const EngineOptions& options);

  // Opens the pinned engine; returns an empty value if no engine is pinned. Fails with kUnsupported if it has another
  // ABI version, and with kFailed if a part of it is missing. An engine opened under the exclusive lock may be used
  // only while the lock is held.
  static Result<std::optional<Engine>> open(const Pins& pins, const PinLock& lock);

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  // Pins the engine, whole or not at all. From then on it outlives this process.
  Status pin(const Pins& pins, const PinLock& lock);
  bool is_pinned() const;

  // ---- targets: the caller holds the exclusive lock of a pinned engine ----

  // Follows the server made of `processes` (the root first), and returns the target's index for the calls below. The
  // kernel side follows processes that they fork later. The caller finds processes that are forked during this call: it
  // calls add_processes, which skips those that are followed, until the list of processes is stable, and then
  // complete_target. `hints` say which of its listeners serve.
  Result<unsigned> add_target(const ProcessIdentity& root, const std::vector<pid_t>& processes, ListenerHints hints);
  Status add_processes(unsigned target, const std::vector<pid_t>& processes);
  Status complete_target(unsigned target);

  // Keeps the target for so long after its root has ended. Without this call it is over at once.
  Status keep_ended(unsigned target, double seconds);

  // Takes processes out of the target, with the records of the connections that only they hold, so that another target
  // can have them. What they have in flight ends as aborted; it was on listeners that are apart.
  Status release_processes(unsigned target, const std::vector<pid_t>& processes);

  // Stops following the target and gives back all that it holds. Processes that still observe it get kNoTarget.
  Status remove_target(unsigned target);

  // ---- observation: any process, at any time. A snapshot is sample_sockets, maintain, sample_counters ----

  // Begins to observe a target that is followed already. Changes nothing but what this process remembers.
  Status join_target(const TargetInfo& target, ListenerHints hints);

  // These only read.

  Result<std::vector<TargetInfo>> targets() const;

  // The roots of all targets but this one, in one system call.
  Result<std::vector<pid_t>> other_roots(unsigned target) const;

  // Processes of the target that live now, as the fork and exit hooks know them, sorted.
  Result<std::vector<pid_t>> processes(unsigned target) const;

  // Those of them that were not forked in the target: they began to listen on an address of the target, or read from
  // connections that were accepted there.
  Result<std::vector<pid_t>> joined(unsigned target) const;

  // Iterates over the sockets that the target's processes, and `processes`, hold now. Fails with kNoTarget if the
  // target was removed since it was added or joined.
  Result<ListedSockets> sample_sockets(unsigned target, const std::vector<pid_t>& processes) const;

  // Reads everything counted for the target so far. Each number is exact, but the numbers are read one after another.
  // While it reads the endpoints, about a millisecond, no endpoint gives up its slot to a new one.
  // Fails with kNoTarget as above.
  Result<Counters> sample_counters(unsigned target) const;

  // Those of the processes that hold a socket which listens on the address ("127.0.0.1:8000").
  Result<std::vector<pid_t>> listeners_at(const std::string& address, const std::vector<pid_t>& processes) const;

  // Whether the process holds a listening socket.
  Result<bool> holds_listener(pid_t pid) const;

  Result<EngineInfo> info() const;
  Result<std::vector<MapUsage>> usage() const;

  // These change the engine.

  // Maintains the engine by the sockets that were just listed: loads and attaches the hooks that they need, deletes the
  // records of closed sockets, makes records for sockets whose bytes caused no event, makes new listeners and judges
  // what each is for, notes the peak of connections, corrects the counters after lost events, and makes room for
  // endpoints. Returns at once while another process does the same. Fails with kNoTarget as above.
  Status maintain(unsigned target, const ListedSockets& listed);

  // Records that the target's root has ended and that `root`, a process of the target, is its root from now on. Returns
  // whether it is recorded: not if another process maintains the engine now. Fails with kNoTarget as above.
  Result<bool> hand_over(unsigned target, const ProcessIdentity& root, ListenerHints hints);

  // Whether the last `maintain` suspects lost events. A second call, a moment later, confirms or drops the suspicion.
  bool has_doubts(unsigned target) const;

  // Returns the CPU that the processes of `now` had used at the stored sample, or an empty value if there is no such
  // sample. Stores `now` in its place, unless the stored one is younger than `min_age_seconds`. All processes share the
  // sample.
  Result<std::optional<HostSample>> exchange_cpu(const HostSample& now, double min_age_seconds);

  // ---- processes that begin to listen, anywhere on the machine: only of an engine of our own ----

  // From then on take_listens() returns each of them once, and the descriptor is readable while it has some.
  Status watch_listens();
  int listens_fd() const;
  std::vector<Listen> take_listens();

  struct State;  // private to session/

 private:
  explicit Engine(std::unique_ptr<State> state);

  // Fails with kNoTarget if the target was detached, because another one may have its index by now. Fails also if a
  // hook of the engine is gone. The result holds for as long as the caller holds the engine's lock.
  Status check_counts(unsigned target) const;

  std::unique_ptr<State> state_;
};

}  // namespace monitor
