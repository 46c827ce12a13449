// SPDX-License-Identifier: Apache-2.0
// Puts a server under observation: pins down its root process and adds the whole process tree to an engine.
#pragma once

#include <sys/types.h>

#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "host/procfs.h"
#include "session/engine.h"

namespace monitor {

struct Root {
  Fd process;  // a pidfd: unlike a pid, it never refers to another process
  ProcessIdentity identity;
  std::string network;           // identifies its network namespace; empty if unreadable
  std::vector<pid_t> ancestors;  // at the time of open_root: its parent, that one's parent and so on

  // True once all its threads have ended: by then its sockets are closed and counted.
  bool has_ended() const;

  // Waits a moment for the other threads of a process whose first thread has ended: they hold its sockets, too.
  void await_end() const;
};

// "the server (pid 42) has ended"
Error server_ended(pid_t pid);

// The process as it is now. Fails with kNoTarget if it has ended or is only a thread.
Result<Root> open_root(const ProcFs& proc, pid_t pid);

// Whether the process has ended; another one may have its pid by now.
bool is_gone(const ProcFs& proc, const ProcessIdentity& identity);

// Adds the process and all processes below it to a target that the engine follows already, as follow_server does.
Status follow_more(Engine& engine, unsigned target, const ProcFs& proc, const Root& root,
                   const std::vector<pid_t>& others = {});

// Adds the server to the engine, with all processes below its root, and returns the target's index. Leaves out those of
// a server of its own below the root: `others` are roots of such servers, and each root of another target is one if it
// listens only where the rest of the tree does not. In the same way, takes the server's processes out of a target that
// has them because it forked them. Fails with kNoTarget if the server has ended or listens nowhere; the engine is then
// unchanged but for that.
Result<unsigned> follow_server(Engine& engine, const ProcFs& proc, const Root& root,
                               const std::vector<pid_t>& others = {});

}  // namespace monitor
