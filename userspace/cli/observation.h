// SPDX-License-Identifier: Apache-2.0
// One server under observation: its target in an engine, the process that stands for it, and what /proc said of it
// before. Gives a Snapshot whenever asked, also right after the server has ended.
#pragma once

#include <sys/types.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cli/cpu_reference.h"
#include "cli/follow.h"
#include "model/snapshot.h"
#include "session/engine.h"

namespace monitor {

class Observation {
 public:
  // Begins to count in an engine of our own. Fails with kNoTarget when the process is gone or listens nowhere.
  static Result<Observation> begin(std::shared_ptr<Engine> engine, Root root);

  // Looks at what an attached engine counts. `viewer` is held as long as this is.
  static Result<Observation> join(std::shared_ptr<Engine> engine, const TargetInfo& target, Root root, Fd viewer);

  // Everything as it is now, but without `system` no CPU, memory and threads. The counts of a server that has ended are
  // its last ones.
  Result<Snapshot> look(bool system = true);
  bool has_ended() const { return ended_; }
  bool has_ended_since() const { return root_.has_ended(); }

  // Readable once the server's root process has ended: its sockets are closed and counted by then.
  int ended_fd() const { return root_.process.get(); }

  const ProcessIdentity& identity() const { return root_.identity; }
  const Engine& engine() const { return *engine_; }

  // What it holds in the engine is given back: nothing more is asked of it.
  Status leave();

 private:
  Observation(std::shared_ptr<Engine> engine, unsigned target, Root root, Fd viewer);

  // The sample of this moment; of a server that has ended, what is left of the sample before.
  Result<HostSample> sample();
  Result<SocketsSample> sockets();
  Result<Counters> count(SocketsSample& seen);
  // What CPU is measured against.
  Result<std::optional<HostSample>> cpu_before(const HostSample& now);

  std::shared_ptr<Engine> engine_;
  unsigned target_;
  Root root_;
  Fd viewer_;
  bool ended_ = false;
  bool looked_ = false;
  std::vector<std::string> listen_;  // as the latest look saw it
  HostSample latest_;
  double cpu_seconds_ = 0;  // the most that a look saw
  CpuReference cpu_reference_;
};

}  // namespace monitor
