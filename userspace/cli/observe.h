// SPDX-License-Identifier: Apache-2.0
// One server under observation: the engine attached to it, the process that stands for it, and what /proc said of it
// before. Gives a Snapshot whenever asked, also right after the server has ended.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "cli/cpu_reference.h"
#include "cli/loop.h"
#include "host/find_server.h"
#include "session/engine.h"

namespace monitor {

class Observation {
 public:
  // Loads the engine and begins to count. Fails with kNoTarget when the process is gone or listens nowhere.
  static Result<Observation> begin(const Server& server, const EngineOptions& options);

  // Everything as it is now.
  Result<Look> look();

  // Readable once the server's root process has ended: its sockets are closed and counted by then.
  int ended_fd() const { return root_.get(); }

  pid_t pid() const { return pid_; }
  const std::string& profile() const { return engine_.profile(); }

 private:
  Observation(Engine engine, unsigned target, pid_t pid, Fd root, HostSample first);

  // The sample of this moment; of a server that has ended, what is left of the sample before.
  Result<HostSample> sample(bool& ended);
  Result<SocketsLook> sockets(bool ended);

  Engine engine_;
  unsigned target_;
  pid_t pid_;
  Fd root_;  // pidfd: it never is another process's, as a pid can be
  double start_seconds_;
  std::vector<std::string> listen_;  // as the latest look saw it
  HostSample latest_;
  CpuReference cpu_reference_;
};

}  // namespace monitor
