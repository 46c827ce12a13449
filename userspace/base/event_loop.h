// SPDX-License-Identifier: Apache-2.0
// An event loop for one thread: waits for descriptors and timers, and calls back those that are ready or due.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/result.h"

namespace monitor {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;

  // Called with poll(2)'s events. An Error ends the wait.
  using OnReady = std::function<Status(short events)>;
  using OnTime = std::function<Status()>;

  // Returns the descriptors to watch, which may change. Called before each wait.
  using Descriptors = std::function<std::vector<int>()>;

  // The order of the callbacks of one wait. Within a rank they run in the order in which they were added.
  enum class Rank { kFirst, kUsual, kLast };

  class Watch;
  class Timer;

  EventLoop() = default;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() = default;

  // Calls `ready` in each wait in which the descriptor has one of `events`, an error or a hangup, for as long as the
  // Watch exists. A descriptor below 0 is never ready. The loop outlives the Watch.
  [[nodiscard]] Watch watch(int fd, short events, OnReady ready, Rank rank = Rank::kUsual);

  // The same for several descriptors. Calls `ready` once in a wait, with the events of all of them.
  [[nodiscard]] Watch watch(Descriptors descriptors, short events, OnReady ready, Rank rank = Rank::kUsual);

  // Calls `expired` once, at the time that the Timer is set to. Timers run after the callbacks of descriptors, in the
  // order of their times. A callback that sets its Timer again makes it periodic. The loop outlives the Timer.
  [[nodiscard]] Timer timer(OnTime expired);

  // When the first timer expires, if one is set.
  std::optional<Clock::time_point> next_timer() const;

  // Waits until a descriptor is ready or a timer is due, and calls back all that are. Returns at `until` at the latest.
  // A callback may add, change and destroy watches and timers, its own too; it may not wait.
  Status wait(std::optional<Clock::time_point> until = std::nullopt);

  // For callbacks: the wait returns without calling any further callback.
  void end_wait() { ending_ = true; }

 private:
  using Key = std::pair<Rank, std::uint64_t>;
  struct Watched {
    int fd;
    Descriptors descriptors;  // if not empty, it replaces `fd`
    short events;
    std::shared_ptr<OnReady> ready;  // shared with the running call, which may destroy the Watch
  };
  struct Timed {
    std::optional<Clock::time_point> due;
    std::shared_ptr<OnTime> expired;
  };

  Watch add(Watched watched, Rank rank);
  Status call_ready(const std::map<Key, short>& arrived);
  Status call_expired();

  std::uint64_t last_ = 0;
  bool ending_ = false;
  std::map<Key, Watched> watched_;
  std::map<std::uint64_t, Timed> timed_;
};

// Its destructor ends the watching.
class EventLoop::Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), key_(std::move(other.key_)) {}
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { end(); }

  // Changes the events to wait for. This holds in the current wait, too: other events no longer call back.
  void change(short events);

 private:
  friend class EventLoop;
  Watch(EventLoop& loop, Key key) : loop_(&loop), key_(std::move(key)) {}
  void end();

  EventLoop* loop_ = nullptr;
  Key key_;
};

// A time to be called back at. It is not set at first, nor after it has expired.
class EventLoop::Timer {
 public:
  Timer() = default;
  Timer(Timer&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), key_(other.key_) {}
  Timer& operator=(Timer&& other) noexcept;
  Timer(const Timer&) = delete;
  Timer& operator=(const Timer&) = delete;
  ~Timer() { end(); }

  // Expires at `due`, or never.
  void set(std::optional<Clock::time_point> due);

 private:
  friend class EventLoop;
  Timer(EventLoop& loop, std::uint64_t key) : loop_(&loop), key_(key) {}
  void end();

  EventLoop* loop_ = nullptr;
  std::uint64_t key_ = 0;
};

}  // namespace monitor
