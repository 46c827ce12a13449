// SPDX-License-Identifier: Apache-2.0
// The engine's maps and programs by descriptor, wherever they come from: just loaded, or found pinned. What each map
// holds, who writes it and when an entry dies is said in bpf/maps.bpf.h.
#pragma once

#include <monitor/abi.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <string>

#include "base/fd.h"
#include "base/result.h"

namespace monitor {

class Map {
 public:
  Map() = default;
  // Takes the descriptor over. Fails when the kernel does not tell of it.
  static Result<Map> of(std::string name, Fd fd);

  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }
  std::uint32_t key_size() const { return key_size_; }      // bytes
  std::uint32_t value_size() const { return value_size_; }  // bytes
  std::uint32_t max_entries() const { return max_entries_; }

 private:
  std::string name_;
  Fd fd_;
  std::uint32_t key_size_ = 0;
  std::uint32_t value_size_ = 0;
  std::uint32_t max_entries_ = 0;
};

class Program {
 public:
  Program() = default;
  Program(std::string name, Fd fd) : name_(std::move(name)), fd_(std::move(fd)) {}

  // Whether it is loaded: a profile does without the hooks of the other.
  explicit operator bool() const { return static_cast<bool>(fd_); }
  int fd() const { return fd_.get(); }
  const std::string& name() const { return name_; }

 private:
  std::string name_;
  Fd fd_;
};

// The value of a map of one element, in memory that is the kernel's too.
template <typename T>
class Shared {
 public:
  Shared() = default;
  Shared(Shared&& other) noexcept : value_(std::exchange(other.value_, nullptr)) {}
  Shared& operator=(Shared&& other) noexcept {
    std::swap(value_, other.value_);
    return *this;
  }
  Shared(const Shared&) = delete;
  Shared& operator=(const Shared&) = delete;
  ~Shared();

  static Result<Shared> of(const Map& map);

  T& operator*() const { return *value_; }
  T* operator->() const { return value_; }

 private:
  T* value_ = nullptr;
};

// One bit for each process id.
struct FollowedBits {
  std::array<std::uint64_t, MONITOR_MAX_PID / 64> words;
};

struct Objects {
  Map engine, processes, workers, free_workers, targets, target_settings, endpoint_index, endpoint_table,
      free_endpoints, connections, addressed_connections, spilled_requests, listen_ports, cpu_samples,
      iter_request_value, followed_value, receive_scratch, send_scratch;
  Program on_received, on_sent, on_unix_received, on_unix_sent, on_syscall, on_state, on_state_too, on_close, on_fork,
      on_exit, iterate_sockets, iterate_connections, iterate_addressed, evict, sweep, correct, note_open;

  Shared<monitor_iter_request> iter_request;
  Shared<FollowedBits> followed;

  // Maps what user space writes in place. All maps are there by then.
  Status share();
};

// Calls `take(name, map, key_size, value_size)` for each map: the sizes of include/monitor/abi.h, 0 for what is private
// to the kernel side.
template <typename Take>
void for_each_map(Objects& o, const Take& take) {
  constexpr std::size_t kId = sizeof(std::uint32_t);
  take("engine", o.engine, kId, sizeof(monitor_engine));
  take("processes", o.processes, kId, sizeof(monitor_process));
  take("workers", o.workers, kId, sizeof(monitor_worker));
  take("free_workers", o.free_workers, 0, kId);
  take("targets", o.targets, kId, sizeof(monitor_target));
  take("target_settings", o.target_settings, kId, sizeof(monitor_target_settings));
  take("endpoint_index", o.endpoint_index, sizeof(monitor_endpoint_key), sizeof(monitor_endpoint_ref));
  take("endpoint_table", o.endpoint_table, kId, sizeof(monitor_endpoint));
  take("free_endpoints", o.free_endpoints, 0, kId);
  take("connections", o.connections, kId, 0);
  take("addressed_connections", o.addressed_connections, sizeof(std::uint64_t), 0);
  take("spilled_requests", o.spilled_requests, 0, 0);
  take("listen_ports", o.listen_ports, kId, sizeof(std::uint8_t));
  take("cpu_samples", o.cpu_samples, kId, sizeof(monitor_cpu_sample));
  take("iter_request", o.iter_request_value, kId, sizeof(monitor_iter_request));
  take("followed", o.followed_value, kId, sizeof(FollowedBits));
  take("receive_scratch", o.receive_scratch, kId, 0);
  take("send_scratch", o.send_scratch, kId, 0);
}

// Calls `take(name, program, hook)` for each program; `hook`: it is attached to something, the others are run by us.
template <typename Take>
void for_each_program(Objects& o, const Take& take) {
  take("on_received", o.on_received, true);
  take("on_sent", o.on_sent, true);
  take("on_unix_received", o.on_unix_received, true);
  take("on_unix_sent", o.on_unix_sent, true);
  take("on_syscall", o.on_syscall, true);
  take("on_state", o.on_state, true);
  take("on_state_too", o.on_state_too, true);
  take("on_close", o.on_close, true);
  take("on_fork", o.on_fork, true);
  take("on_exit", o.on_exit, true);
  take("iterate_sockets", o.iterate_sockets, false);
  take("iterate_connections", o.iterate_connections, false);
  take("iterate_addressed", o.iterate_addressed, false);
  take("evict", o.evict, false);
  take("sweep", o.sweep, false);
  take("correct", o.correct, false);
  take("note_open", o.note_open, false);
}

}  // namespace monitor
