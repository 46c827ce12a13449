// SPDX-License-Identifier: Apache-2.0
// How a server comes under observation: its root process is held fast, and the whole tree given to an engine.
#pragma once

#include <sys/types.h>

#include "base/fd.h"
#include "base/result.h"
#include "host/procfs.h"
#include "session/engine.h"

namespace monitor {

struct Root {
  Fd process;  // pidfd: it never is another process's, as a pid can be
  ProcessIdentity identity;

  // Its sockets are closed and counted by then: all its threads have gone.
  bool has_ended() const;

  // For one whose first thread is seen to have ended: waits for the others, which hold the sockets too, for a while.
  void await_end() const;
};

// "the server (pid 42) has ended"
Error server_ended(pid_t pid);

// The process as it is now. kNoTarget when it is gone or none.
Result<Root> open_root(const ProcFs& proc, pid_t pid);

// Whether the process that was identified so is gone, or is another one by now.
bool is_gone(const ProcFs& proc, const ProcessIdentity& identity);

// Adds the server to the engine, with all processes below its root. Fails with kNoTarget when it is gone or listens
// nowhere; the engine is then as it was. Returns the target's index.
Result<unsigned> follow_server(Engine& engine, const ProcFs& proc, const Root& root);

}  // namespace monitor
