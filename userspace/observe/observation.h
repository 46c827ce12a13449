// SPDX-License-Identifier: Apache-2.0
// One server under observation: its target in an engine, its root process, and its previous sample from /proc. Returns
// a Snapshot whenever asked, also right after the server has ended. When the root process ends and another process of
// the target serves on, that one becomes the root.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "model/recent_times.h"
#include "model/snapshot.h"
#include "observe/cpu_reference.h"
#include "observe/follow.h"
#include "observe/handover.h"
#include "session/engine.h"

namespace monitor {

// The root process of a server has ended, and another process serves on.
struct Handover {
  pid_t from = 0;
  pid_t to = 0;
  std::string address;  // may hold hostile bytes
};

class Observation {
 public:
  // Begins to count in an engine of our own, without `others`, as follow_server does. Fails with kNoTarget if the
  // process has ended or listens nowhere.
  static Result<Observation> begin(std::shared_ptr<Engine> engine, Root root, const std::vector<pid_t>& others = {});

  // Reads what an attached engine counts. `viewer` keeps the target there until the observation is destroyed.
  static Result<Observation> join(std::shared_ptr<Engine> engine, const TargetInfo& target, Root root, Fd viewer);

  // The server as it is now or, after its end, its final counts. Without `system`, omits CPU, memory and threads.
  // `counted_queues`: listening sockets whose accept queues count for another server, in the same output; adds its own.
  Result<Snapshot> snapshot(bool system, std::set<std::uint64_t>& counted_queues);

  // Adds another process that serves on the address of this server, with all processes below it. If the server has
  // ended, it goes on under that process. `engine` is the one that counts, opened so that it may be changed.
  Status adopt(Engine& engine, Root root);

  // The address of the listener that serves, which identifies the server; empty if it has not listened yet.
  const std::string& address() const { return address_; }
  const Root& root() const { return root_; }
  unsigned target() const { return target_; }

  // The processes of the server that live now.
  Result<std::vector<pid_t>> processes() const { return engine_->processes(target_); }

  // Whether the server had ended by the latest snapshot, and whether it has ended by now.
  bool has_ended() const { return ended_at_.has_value(); }
  bool has_ended_since() const { return root_.has_ended(); }

  // When a snapshot first found that it had ended. It can go on after that, under a process that takes its place.
  std::optional<std::chrono::steady_clock::time_point> ended_at() const { return ended_at_; }

  // For how long the attached engine keeps it after its end; 0 in an engine of our own.
  std::chrono::duration<double> keep_ended() const { return keep_ended_; }

  // The handover of the latest snapshot, once.
  std::optional<Handover> take_handover() { return std::exchange(handover_, std::nullopt); }

  // The servers that serve on its address beside its root, by the latest snapshot, and those of them that the one
  // before did not have.
  const std::vector<ProcessIdentity>& beside() const { return beside_; }
  std::vector<ProcessIdentity> take_new_beside() { return std::exchange(new_beside_, {}); }

  // Readable once the server's root process has ended; by then its sockets are closed and counted.
  int ended_fd() const { return root_.process.get(); }

  const ProcessIdentity& identity() const { return root_.identity; }
  const Engine& engine() const { return *engine_; }

  // Gives the target back to an engine of our own. Call nothing else afterwards.
  Status leave();

 private:
  Observation(std::shared_ptr<Engine> engine, unsigned target, Root root, Fd viewer);

  // The root process has ended. Returns whether the server goes on under another one.
  Result<bool> hand_over();
  void go_on_under(Root root, const std::string& address);
  Status record_root();
  Status note_listen();
  void note_end();
  Status note_beside();
  Status leave_out_others(HostSample& now);
  void note_left(const HostSample& now);

  // The sample of this moment. After the server's end: the previous one, without its memory and threads.
  Result<HostSample> sample();
  Result<SocketsSample> sockets();
  Result<Counters> count(SocketsSample& seen);
  // The sample that CPU use is measured against.
  Result<std::optional<HostSample>> cpu_before(const HostSample& now);

  std::shared_ptr<Engine> engine_;
  unsigned target_;
  Root root_;
  Fd viewer_;
  std::optional<std::chrono::steady_clock::time_point> ended_at_;
  bool sampled_ = false;             // at least one snapshot was taken
  std::vector<std::string> listen_;  // by the latest snapshot in which it listened
  std::string address_;              // likewise
  std::chrono::duration<double> keep_ended_{0};
  pid_t previous_ = 0;  // the root before this one; 0: there was no handover
  std::vector<ProcessIdentity> beside_;
  std::vector<ProcessIdentity> new_beside_;
  bool root_recorded_ = true;  // the engine knows the root
  std::optional<Handover> handover_;
  ListenerHints hints_;  // of the root
  HostSample latest_;
  double cpu_seconds_ = 0;                 // the largest figure so far
  double cpu_before_ = 0;                  // of it, what processes used whose CPU time was lost with an earlier root
  bool left_ = false;                      // since the latest snapshot a process has become another server
  std::map<pid_t, ProcessSample> others_;  // roots of other targets that a process of this one started
  std::map<pid_t, double> others_cpu_;     // CPU time of such roots that have ended, by the process that reaps them
  CpuReference cpu_reference_;
  RecentTimes recent_times_;
};

}  // namespace monitor
