// SPDX-License-Identifier: Apache-2.0
#include "cli/observation.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <thread>
#include <utility>

#include "base/boot_clock.h"
#include "host/procfs.h"

namespace monitor {
namespace {

// What is under way in the kernel at a look is done by then.
constexpr std::chrono::milliseconds kSettle{5};

// Of processes that have ended nothing is left but what they were.
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
    : engine_(std::move(engine)), target_(target), root_(std::move(root)), viewer_(std::move(viewer)) {}

Result<Observation> Observation::begin(std::shared_ptr<Engine> engine, Root root) {
  const ProcFs proc;
  Result<unsigned> target = follow_server(*engine, proc, root);
  if (!target) {
    return std::move(target).error();
  }
  Observation observation(std::move(engine), *target, std::move(root), Fd());
  // Loading took a while; CPU is measured from when counting began.
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
  if (Status status = engine->join_target(target); !status) {
    return std::move(status).error();
  }
  return Observation(std::move(engine), target.index, std::move(root), std::move(viewer));
}

Status Observation::leave() {
  return engine_->is_pinned() ? Status(Ok{}) : engine_->remove_target(target_);
}

Result<HostSample> Observation::sample() {
  ended_ = ended_ || root_.has_ended();
  if (!ended_) {
    // Those that the kernel side follows: to find what is below the root in /proc takes a pass over every process of
    // the machine, and misses whose parent has ended.
    Result<std::vector<pid_t>> members = engine_->processes(target_);
    if (!members) {
      return std::move(members).error();
    }
    Result<HostSample> now = sample_host(ProcFs(), root_.identity.pid, to_seconds(root_.identity.start_ns), *members);
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
    return server_ended(root_.identity.pid);  // before it was looked at once
  }
  return after_the_end(latest_);
}

Result<SocketsSample> Observation::sockets() {
  Result<std::vector<pid_t>> processes = engine_->processes(target_);
  if (!processes) {
    return std::move(processes).error();
  }
  // A supervisor that was killed leaves workers behind; without any, a server that has ended has no sockets.
  if (processes->empty() && !ended_) {
    *processes = ProcFs().tree(root_.identity.pid);
  }
  ListedSockets listed = TRY(engine_->sample_sockets(target_, *processes));
  TRY(engine_->maintain(target_, listed));
  if (ended_) {
    listed.sample.listen = listen_;  // where it used to listen
  }
  listen_ = listed.sample.listen;
  return std::move(listed.sample);
}

// Reads the counters after the sockets: a request that begins in between is then not counted as waiting as well. The
// first snapshot of an attached server may be the only one, so a doubt is settled at once.
Result<Counters> Observation::count(SocketsSample& seen) {
  if (!looked_ && engine_->is_pinned() && engine_->has_doubts(target_)) {
    std::this_thread::sleep_for(kSettle);
    seen = TRY(sockets());
  }
  return engine_->sample_counters(target_);
}

Result<std::optional<HostSample>> Observation::cpu_before(const HostSample& now) {
  if (ended_) {
    return std::optional<HostSample>(latest_);  // there is no more CPU to measure: against itself it is 0
  }
  std::optional<HostSample> before = cpu_reference_.before(now);
  if (!engine_->is_pinned()) {
    return before;
  }
  Result<std::optional<HostSample>> shared = engine_->exchange_cpu(now, kMinCpuSpanSeconds);
  return before || !shared ? Result<std::optional<HostSample>>(std::move(before)) : std::move(shared);
}

Result<Snapshot> Observation::look(bool system) {
  Result<HostSample> host = sample();
  if (!host) {
    return std::move(host).error();
  }
  Result<SocketsSample> seen = sockets();
  if (!seen) {
    return std::move(seen).error();
  }
  Result<Counters> counters = count(*seen);
  if (!counters) {
    return std::move(counters).error();
  }
  looked_ = true;
  Result<std::optional<HostSample>> before = system ? cpu_before(*host) : std::optional<HostSample>();
  if (!before) {
    return std::move(before).error();
  }
  Snapshot snapshot = make_snapshot(*counters, *seen, *host, *before);
  // A process that ends between the reading of its parent and its own is missing once, one that is no longer its
  // parent's for good.
  cpu_seconds_ = std::max(cpu_seconds_, snapshot.cpu_seconds);
  snapshot.cpu_seconds = cpu_seconds_;
  snapshot.system = system;
  return snapshot;
}

}  // namespace monitor
