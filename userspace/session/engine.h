// SPDX-License-Identifier: Apache-2.0
// The engine: the BPF programs of bpf/, loaded and attached, and the maps that they count in. Owns everything of the
// kernel that this process holds; when it goes, nothing stays attached. The only folder that knows libbpf.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/counters.h"

namespace monitor {

struct EngineOptions {
  bool raw_paths = false;        // endpoints as sent, identifiers not folded
  bool verbose = false;          // libbpf's own messages to stderr
  std::string profile = "auto";  // "auto", "socket" or "syscall"
  std::uint32_t max_endpoints = 2048;
  // Whether a target may listen on a Unix socket: their hooks make up half of the time that the load takes.
  bool unix_sockets = true;
};

class Engine {
 public:
  // Loads and attaches. Fails with kNotPermitted naming the missing capability, or kUnsupported naming what the kernel
  // lacks. Counts nothing until a target is added.
  static Result<Engine> load(const EngineOptions& options);

  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  Engine(Engine&&) noexcept;
  Engine& operator=(Engine&&) noexcept;
  ~Engine();

  // Follows the server made of `processes` (the root first). Processes that they fork later are followed by the
  // kernel; ones forked while this call runs are the caller's to find: call again with the new list until it is
  // stable (processes already followed are left as they are). Returns the target's index for the calls below.
  Result<unsigned> add_target(const std::vector<pid_t>& processes);
  Status add_processes(unsigned target, const std::vector<pid_t>& processes);

  // Everything counted for the target so far. Exact for each word; words are read one after another.
  Result<Counters> read(unsigned target);

  // Walks the kernel's list of the sockets that `processes` hold now.
  Result<SocketsLook> look_at_sockets(unsigned target, const std::vector<pid_t>& processes);

  // Processes of the target that live now, as the fork and exit hooks know them, sorted.
  Result<std::vector<pid_t>> processes(unsigned target);

  const std::string& profile() const;

 private:
  struct State;
  explicit Engine(std::unique_ptr<State> state);
  std::unique_ptr<State> state_;
};

}  // namespace monitor
