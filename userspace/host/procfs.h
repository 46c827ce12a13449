// SPDX-License-Identifier: Apache-2.0
// Reads /proc: processes, their resources, their tree and the sockets they listen on. The directory is a parameter, so
// that tests can use a fake /proc and need neither root nor a server.
#pragma once

#include <sys/types.h>

#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "host/process_tree.h"
#include "model/host_sample.h"

namespace monitor {

class ProcFs {
 public:
  explicit ProcFs(std::string root = "/proc");

  // The directory, for error messages.
  const std::string& path() const { return root_; }

  // One process. Fails with kNoTarget if it does not exist or is a zombie.
  Result<ProcessSample> process(pid_t pid) const;

  // A zombie, which has CPU time and no other resource. nullopt if the process is alive or gone.
  std::optional<ProcessSample> zombie(pid_t pid) const;

  // Every live process with its parent, from one pass over /proc. Omits processes that end during the pass.
  ProcessParents parents() const;

  // The root (first) and its current descendants (sorted by pid), but not the processes of `without` nor what is below
  // these; empty if the root is gone.
  std::vector<pid_t> tree(pid_t root, const std::vector<pid_t>& without = {}) const;

  // The same processes with their resources, also from one pass. The CPU time of a zombie already counts in its
  // parent's reaped_cpu_seconds, so that it does not disappear from the total until the parent reaps it.
  std::vector<ProcessSample> tree_samples(pid_t root) const;

  // The arguments joined by spaces, or the kernel's short name (comm) if the process has no arguments. Untrusted bytes.
  std::string command(pid_t pid) const;

  // The arguments, from the first 32 KB of cmdline. Drops empty ones at the end: a process that sets its title pads
  // with them.
  std::vector<std::string> arguments(pid_t pid) const;

  // The target of /proc/PID/exe; empty if unreadable.
  std::string executable(pid_t pid) const;

  // All pids, sorted.
  std::vector<pid_t> pids() const;

  // The addresses that the processes listen on, as seen in their own network namespace: TCP over IPv4
  // ("127.0.0.1:9999") and IPv6 ("[::1]:80"), and Unix stream sockets ("unix:/run/app.sock"). Sorted and unique. A path
  // can contain untrusted bytes.
  std::vector<std::string> listening(const std::vector<pid_t>& processes) const;

  // The same for each of the processes that listens. An address that several sockets share stands there more than once.
  std::map<pid_t, std::vector<std::string>> listening_by_process(const std::vector<pid_t>& processes) const;

  // Whether the process maps a file whose path `is_wanted`. The path can contain untrusted bytes.
  bool maps_any(pid_t pid, const std::function<bool(std::string_view)>& is_wanted) const;

  // Identifies its network namespace; empty if unreadable.
  std::string network_namespace(pid_t pid) const;

  // Whether the kernel denies us access to the process's descriptors. If so, listening() cannot find its sockets.
  bool descriptors_refused(pid_t pid) const;

  // The process that a thread belongs to. /proc/TID can be opened although reading the directory /proc does not list
  // it.
  std::optional<pid_t> thread_group(pid_t tid) const;

 private:
  std::string file(pid_t pid, const char* name) const;

  std::string root_;
};

// Samples the process tree of `root`. If its processes are already known (`members`), samples only these and saves a
// pass over all of /proc. Fails with kNoTarget if the root is gone or a zombie, or if `root_start_seconds` is given and
// differs from the root's start: then the pid was reused. Processes of the sample `earlier` that are no members any
// more can be zombies: their CPU time counts in their parent's reaped time, where it stays when the parent reaps them.
Result<HostSample> sample_host(const ProcFs& proc, pid_t root, std::optional<double> root_start_seconds,
                               const std::vector<pid_t>& members = {}, const HostSample& earlier = {});

}  // namespace monitor
