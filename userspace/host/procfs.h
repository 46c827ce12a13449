// SPDX-License-Identifier: Apache-2.0
// Reads /proc: processes, their resources, their tree and the sockets they listen on. Takes the directory it reads as
// a parameter, so that a test can give it one of its own and needs neither root nor a server.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/process_tree.h"
#include "model/host_sample.h"

namespace monitor {

class ProcFs {
 public:
  explicit ProcFs(std::string root = "/proc");

  // The directory it reads, for messages.
  const std::string& path() const { return root_; }

  // One process; kNoTarget when it does not exist or has ended and only waits for its parent (a zombie).
  Result<ProcessSample> process(pid_t pid) const;

  // Every live process with its parent, from one pass over /proc. What ends meanwhile is left out.
  ProcessParents parents() const;

  // The root (first) and its descendants (sorted by pid) as they are now; empty when the root is gone.
  std::vector<pid_t> tree(pid_t root) const;

  // The same processes with their figures, from one pass as well. What a child used that has ended and was not waited
  // for yet is already among what its parent's ended children used: it never goes missing in between.
  std::vector<ProcessSample> tree_samples(pid_t root) const;

  // The arguments joined by spaces; the kernel's short name for a process that has none. Bytes may be hostile.
  std::string command(pid_t pid) const;

  // The arguments one by one (the first 32 KB; empty ones at the end are dropped, since a process that sets its title
  // pads with them), and the resolved name of the executable (empty when unreadable).
  std::vector<std::string> arguments(pid_t pid) const;
  std::string executable(pid_t pid) const;

  // All pids, sorted.
  std::vector<pid_t> pids() const;

  // Where the processes listen: TCP over IPv4 ("127.0.0.1:9999") and IPv6 ("[::1]:80"), Unix stream sockets
  // ("unix:/run/app.sock"), as their own network namespace lists them; sorted, unique. Bytes of a path may be hostile.
  std::vector<std::string> listening(const std::vector<pid_t>& processes) const;

  // Whether the kernel refuses to show us the descriptors of the process: then listening() cannot see its sockets.
  bool descriptors_refused(pid_t pid) const;

  // The process that the thread belongs to: /proc/TID can be opened though no listing of /proc has it.
  std::optional<pid_t> thread_group(pid_t tid) const;

 private:
  std::string file(pid_t pid, const char* name) const;

  std::string root_;
};

// One sample of the tree below `root`; where its processes are known (`members`), of these alone, which spares the pass
// over all of /proc. `root_start_seconds`, when given, must still be that process's start:
// otherwise the pid was reused and the result is kNoTarget, as it is when the process is gone (or a zombie).
Result<HostSample> sample_host(const ProcFs& proc, pid_t root, std::optional<double> root_start_seconds,
                               const std::vector<pid_t>& members = {});

}  // namespace monitor
