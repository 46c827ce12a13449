// SPDX-License-Identifier: Apache-2.0
// One server under observation: its target in an engine, its root process, and its previous sample from /proc. Returns
// a Snapshot whenever asked, also right after the server has ended.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "model/snapshot.h"
#include "observe/cpu_reference.h"
#include "observe/follow.h"
#include "session/engine.h"

namespace monitor {

class Observation {
 public:
  // Begins to count in an engine of our own. Fails with kNoTarget if the process has ended or listens nowhere.
  static Result<Observation> begin(std::shared_ptr<Engine> engine, Root root);

  // Reads what an attached engine counts. `viewer` keeps the target there until the observation is destroyed.
  static Result<Observation> join(std::shared_ptr<Engine> engine, const TargetInfo& target, Root root, Fd viewer);

  // The server as it is now or, after its end, its final counts. Without `system`, omits CPU, memory and threads.
  Result<Snapshot> snapshot(bool system = true);

  // Whether the server had ended by the latest snapshot, and whether it has ended by now.
  bool has_ended() const { return ended_; }
  bool has_ended_since() const { return root_.has_ended(); }

  // Readable once the server's root process has ended; by then its sockets are closed and counted.
  int ended_fd() const { return root_.process.get(); }

  const ProcessIdentity& identity() const { return root_.identity; }
  const Engine& engine() const { return *engine_; }

  // Gives the target back to an engine of our own. Call nothing else afterwards.
  Status leave();

 private:
  Observation(std::shared_ptr<Engine> engine, unsigned target, Root root, Fd viewer);

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
  ListenerHints hints_;
  bool ended_ = false;
  bool sampled_ = false;             // at least one snapshot was taken
  std::vector<std::string> listen_;  // by the latest snapshot
  std::string address_;              // by the latest snapshot
  HostSample latest_;
  double cpu_seconds_ = 0;  // the largest figure so far
  CpuReference cpu_reference_;
};

}  // namespace monitor
