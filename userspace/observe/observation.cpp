// SPDX-License-Identifier: Apache-2.0
#include "observe/observation.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/boot_clock.h"
#include "host/listener_hints.h"
#include "host/procfs.h"

namespace monitor {
namespace {

// After this time the kernel has finished what it was doing during a snapshot.
constexpr std::chrono::milliseconds kSettle{5};

// Processes that have ended use no memory and no threads; the rest of the sample stays.
HostSample after_the_end(HostSample sample) {
  sample.at_seconds = seconds_since_boot();
  for (ProcessSample& process : sample.processes) {
    process.memory_bytes = 0;
    process.threads = 0;
  }
  return sample;
}

}  // namespace

Observation::Observation(std::shared_ptr<Engine> engine, unsigned target, Root root, Fd viewer)
    : engine_(std::move(engine)),
      target_(target),
      root_(std::move(root)),
      viewer_(std::move(viewer)),
      hints_(listener_hints(ProcFs(), root_.identity.pid)) {}

Result<Observation> Observation::begin(std::shared_ptr<Engine> engine, Root root) {
  const ProcFs proc;
  const unsigned target = TRY(follow_server(*engine, proc, root));
  Observation observation(std::move(engine), target, std::move(root), Fd());
  // Loading took a while: measure CPU use from the start of counting.
  Result<HostSample> begun = observation.sample();
  if (!begun || observation.ended_) {
    return begun ? server_ended(observation.root_.identity.pid) : std::move(begun).error();
  }
  observation.cpu_reference_.before(*begun);
  return observation;
}

Result<Observation> Observation::join(std::shared_ptr<Engine> engine, const TargetInfo& target, Root root, Fd viewer) {
  if (root.identity != target.root) {
    return server_ended(target.root.pid);
  }
  TRY(engine->join_target(target, listener_hints(ProcFs(), target.root.pid)));
  return Observation(std::move(engine), target.index, std::move(root), std::move(viewer));
}

Status Observation::leave() {
  return engine_->is_pinned() ? Status(Ok{}) : engine_->remove_target(target_);
}

Result<HostSample> Observation::sample() {
  ended_ = ended_ || root_.has_ended();
  if (!ended_) {
    // Asks the kernel side for the processes. Finding the root's descendants in /proc takes a pass over every process
    // of the machine, and misses processes whose parent has ended.
    const std::vector<pid_t> members = TRY(engine_->processes(target_));
    Result<HostSample> now =
        sample_host(ProcFs(), root_.identity.pid, to_seconds(root_.identity.start_ns), members, latest_);
    if (now) {
      latest_ = *now;
      return now;
    }
    if (now.error().code != ErrorCode::kNoTarget) {
      return now;
    }
    root_.await_end();
    ended_ = true;
  }
  if (latest_.processes.empty()) {
    return server_ended(root_.identity.pid);  // before the first sample
  }
  return after_the_end(latest_);
}

Result<SocketsSample> Observation::sockets() {
  std::vector<pid_t> processes = TRY(engine_->processes(target_));
  // A killed supervisor can leave workers. Without workers, a server that has ended has no sockets.
  if (processes.empty() && !ended_) {
    processes = ProcFs().tree(root_.identity.pid);
  }
  ListedSockets listed = TRY(engine_->sample_sockets(target_, processes));
  TRY(engine_->maintain(target_, listed));
  if (ended_) {
    listed.sample.listen = listen_;  // where it used to listen
  }
  listen_ = listed.sample.listen;
  return std::move(listed.sample);
}

// Reads the counters after the sockets: a request that begins in between then does not count as waiting, too. The first
// snapshot of an attached server may be the only one, so this settles its doubts at once.
Result<Counters> Observation::count(SocketsSample& seen) {
  if (!sampled_ && engine_->is_pinned() && engine_->has_doubts(target_)) {
    std::this_thread::sleep_for(kSettle);
    seen = TRY(sockets());
  }
  return engine_->sample_counters(target_);
}

Result<std::optional<HostSample>> Observation::cpu_before(const HostSample& now) {
  if (ended_) {
    return std::optional<HostSample>(latest_);  // measured against itself, its CPU use is 0
  }
  std::optional<HostSample> before = cpu_reference_.before(now);
  if (!engine_->is_pinned()) {
    return before;
  }
  Result<std::optional<HostSample>> shared = engine_->exchange_cpu(now, kMinCpuSpanSeconds);
  return before || !shared ? Result<std::optional<HostSample>>(std::move(before)) : std::move(shared);
}

Result<Snapshot> Observation::snapshot(bool system) {
  const HostSample host = TRY(sample());
  SocketsSample seen = TRY(sockets());
  const Counters counters = TRY(count(seen));
  sampled_ = true;
  const std::optional<HostSample> before = TRY(system ? cpu_before(host) : std::optional<HostSample>());
  Snapshot snapshot = make_snapshot(counters, seen, host, before, hints_);
  if (snapshot.address.empty()) {
    snapshot.address = address_;  // after its end, where it used to serve
  }
  address_ = snapshot.address;
  // A process that ends between the reads of its parent and itself is missing from this sample; one that its parent
  // lost is missing from all later ones.
  cpu_seconds_ = std::max(cpu_seconds_, snapshot.cpu_seconds);
  snapshot.cpu_seconds = cpu_seconds_;
  snapshot.system = system;
  return snapshot;
}

}  // namespace monitor
