// SPDX-License-Identifier: Apache-2.0
#include "observe/observation.h"

#include <algorithm>
#include <chrono>
#include <iterator>
#include <optional>
#include <thread>
#include <utility>

#include "base/boot_clock.h"
#include "base/contains.h"
#include "host/listener_hints.h"
#include "host/procfs.h"
#include "observe/handover.h"

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

Result<Observation> Observation::begin(std::shared_ptr<Engine> engine, Root root, const std::vector<pid_t>& others) {
  const ProcFs proc;
  const unsigned target = TRY(follow_server(*engine, proc, root, others));
  Observation observation(std::move(engine), target, std::move(root), Fd());
  // Loading took a while: measure CPU use from the start of counting.
  Result<HostSample> begun = observation.sample();
  if (!begun || observation.ended_at_) {
    return begun ? server_ended(observation.root_.identity.pid) : std::move(begun).error();
  }
  observation.cpu_reference_.before(*begun);
  TRY(observation.note_listen());
  return observation;
}

Result<Observation> Observation::join(std::shared_ptr<Engine> engine, const TargetInfo& target, Root root, Fd viewer) {
  if (root.identity != target.root) {
    return server_ended(target.root.pid);
  }
  TRY(engine->join_target(target, listener_hints(ProcFs(), target.root.pid)));
  Observation observation(std::move(engine), target.index, std::move(root), std::move(viewer));
  observation.previous_ = target.previous.empty() ? 0 : target.previous.front();
  observation.root_recorded_ = !target.moved;
  observation.keep_ended_ = std::chrono::duration<double>(target.keep_ended_seconds);
  TRY(observation.note_listen());
  return observation;
}

// The server may end before its first snapshot: its address must be known by then.
Status Observation::note_listen() {
  const SocketsSample sockets = TRY(engine_->sample_sockets(target_, {})).sample;
  const Counters counters = TRY(engine_->sample_counters(target_));
  listen_ = sockets.listen;
  address_ = main_address(sockets.by_listener, counters.listeners, hints_, counters.main_listener);
  return Ok{};
}

Status Observation::leave() {
  return engine_->is_pinned() ? Status(Ok{}) : engine_->remove_target(target_);
}

Result<bool> Observation::hand_over() {
  root_.await_end();
  const std::optional<Successor> next = TRY(find_successor(*engine_, target_, ProcFs(), root_.identity, address_));
  if (!next) {
    return false;
  }
  Result<Root> root = open_root(ProcFs(), next->root.pid);
  if (!root || root->identity != next->root) {
    return false;  // it has just ended, too
  }
  go_on_under(*std::move(root), next->address);
  return true;
}

void Observation::go_on_under(Root root, const std::string& address) {
  previous_ = root_.identity.pid;
  root_ = std::move(root);
  ListenerHints hints = listener_hints(ProcFs(), root_.identity.pid);
  if (hints.ports.empty() && hints.unix_paths.empty()) {
    hints = hints_;  // a worker that a supervisor left serves where that one was told to
    hints.root = root_.identity.pid;
  }
  hints_ = std::move(hints);
  root_recorded_ = false;
  handover_ = Handover{previous_, root_.identity.pid, address};
  ended_at_.reset();
}

Status Observation::adopt(Engine& engine, Root root) {
  TRY(follow_more(engine, target_, ProcFs(), root));
  if (root_.has_ended()) {
    go_on_under(std::move(root), address_);
  }
  return Ok{};
}

// The engine's record of the root is for later commands: a record that is late does no harm.
Status Observation::record_root() {
  if (!root_recorded_) {
    root_recorded_ = TRY(engine_->hand_over(target_, root_.identity, hints_));
  }
  return Ok{};
}

// A server of its own below this one is reaped by this one when it ends, and its CPU time then counts in this one's
// reaped time. That part is taken out, up to what it used since the last sample before its end.
Status Observation::leave_out_others(HostSample& now) {
  const ProcFs proc;
  const auto is_ours = [&now](pid_t pid) {
    return std::any_of(now.processes.begin(), now.processes.end(),
                       [pid](const ProcessSample& process) { return process.pid == pid; });
  };
  for (const pid_t pid : TRY(engine_->other_roots(target_))) {
    const Result<ProcessSample> other = proc.process(pid);
    if (other && is_ours(other->parent)) {
      others_[pid] = *other;
    }
  }
  for (auto other = others_.begin(); other != others_.end();) {
    ProcessSample& known = other->second;
    const std::optional<ProcessSample> zombie = proc.zombie(known.pid);
    const Result<ProcessSample> lives = proc.process(known.pid);
    if (zombie && zombie->parent == known.parent) {
      known = *zombie;  // its last figures
    } else if (!lives || lives->start_seconds != known.start_seconds) {
      others_cpu_[known.parent] += known.cpu_seconds + known.reaped_cpu_seconds;
      other = others_.erase(other);
      continue;
    }
    ++other;
  }
  for (ProcessSample& process : now.processes) {
    if (const auto found = others_cpu_.find(process.pid); found != others_cpu_.end()) {
      process.reaped_cpu_seconds = std::max(0.0, process.reaped_cpu_seconds - found->second);
    }
  }
  return Ok{};
}

// A process that lives and is no member any more has become another server, with the CPU time that it has used. One
// that served beside the root is reaped by a stranger when it ends.
void Observation::note_left(const HostSample& now) {
  const auto is_member = [&now](pid_t pid) {
    return std::any_of(now.processes.begin(), now.processes.end(),
                       [pid](const ProcessSample& process) { return process.pid == pid; });
  };
  for (const ProcessSample& process : latest_.processes) {
    if (is_member(process.pid)) {
      continue;
    }
    const Result<ProcessSample> lives = ProcFs().process(process.pid);
    left_ = left_ || !is_member(process.parent) || (lives && lives->start_seconds == process.start_seconds);
  }
}

// Finding the supervisor of each takes some files of /proc, only while there are such servers.
Status Observation::note_beside() {
  std::vector<ProcessIdentity> now =
      ended_at_ ? std::vector<ProcessIdentity>() : TRY(servers_beside(*engine_, target_, ProcFs(), root_.identity));
  std::copy_if(now.begin(), now.end(), std::back_inserter(new_beside_),
               [this](const ProcessIdentity& server) { return !contains(beside_, server); });
  beside_ = std::move(now);
  return Ok{};
}

void Observation::note_end() {
  if (!ended_at_) {
    ended_at_ = std::chrono::steady_clock::now();
    latest_ = after_the_end(std::move(latest_));
  }
}

Result<HostSample> Observation::sample() {
  // A process that takes its place can join the target later, so this asks again after the end.
  if (root_.has_ended() && !TRY(hand_over())) {
    note_end();
  }
  TRY(record_root());
  if (!ended_at_) {
    // Asks the kernel side for the processes. Finding the root's descendants in /proc takes a pass over every process
    // of the machine, and misses processes whose parent has ended.
    const std::vector<pid_t> members = TRY(engine_->processes(target_));
    Result<HostSample> now =
        sample_host(ProcFs(), root_.identity.pid, to_seconds(root_.identity.start_ns), members, latest_);
    if (now) {
      TRY(leave_out_others(*now));
      note_left(*now);
      latest_ = *now;
      return now;
    }
    if (now.error().code != ErrorCode::kNoTarget) {
      return now;
    }
    if (TRY(hand_over())) {
      return sample();
    }
    note_end();
  }
  if (latest_.processes.empty()) {
    return server_ended(root_.identity.pid);  // before the first sample
  }
  return latest_;
}

Result<SocketsSample> Observation::sockets() {
  std::vector<pid_t> processes = TRY(engine_->processes(target_));
  // A killed supervisor can leave workers. Without workers, a server that has ended has no sockets.
  if (processes.empty() && !ended_at_) {
    processes = ProcFs().tree(root_.identity.pid);
  }
  ListedSockets listed = TRY(engine_->sample_sockets(target_, processes));
  TRY(engine_->maintain(target_, listed));
  if (ended_at_) {
    listed.sample.listen = listen_;  // where it used to listen
  }
  if (!listed.sample.listen.empty()) {
    listen_ = listed.sample.listen;  // a server that shuts down stops listening before it ends
  }
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
  if (ended_at_) {
    return std::optional<HostSample>(latest_);  // measured against itself, its CPU use is 0
  }
  std::optional<HostSample> before = cpu_reference_.before(now);
  if (!engine_->is_pinned()) {
    return before;
  }
  Result<std::optional<HostSample>> shared = engine_->exchange_cpu(now, kMinCpuSpanSeconds);
  return before || !shared ? Result<std::optional<HostSample>>(std::move(before)) : std::move(shared);
}

Result<Snapshot> Observation::snapshot(bool system, std::set<std::uint64_t>& counted_queues) {
  const HostSample host = TRY(sample());
  SocketsSample seen = TRY(sockets());
  Counters counters = TRY(count(seen));
  recent_times_.set(counters.endpoints);
  count_queues_once(seen, counted_queues);
  sampled_ = true;
  const std::optional<HostSample> before = TRY(system ? cpu_before(host) : std::optional<HostSample>());
  Snapshot snapshot = make_snapshot(counters, seen, host, before, hints_);
  if (snapshot.address.empty() || ended_at_) {
    snapshot.address = address_;  // after its end, where it used to serve
  }
  address_ = snapshot.address;
  // A process that ends between the reads of its parent and itself is missing from this sample; one that its parent
  // lost is missing from all later ones.
  if (handover_ || std::exchange(left_, false)) {
    cpu_before_ = std::max(0.0, cpu_seconds_ - snapshot.cpu_seconds);
  }
  cpu_seconds_ = std::max(cpu_seconds_, cpu_before_ + snapshot.cpu_seconds);
  snapshot.cpu_seconds = cpu_seconds_;
  snapshot.previous_pid = previous_;
  TRY(note_beside());
  std::transform(beside_.begin(), beside_.end(), std::back_inserter(snapshot.beside),
                 [](const ProcessIdentity& server) { return server.pid; });
  snapshot.system = system;
  return snapshot;
}

}  // namespace monitor
