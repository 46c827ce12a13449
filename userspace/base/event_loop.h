// SPDX-License-Identifier: Apache-2.0
// The event loop of a run: waits for descriptors and timers, and calls back those whose time has come. One thread.
#pragma once

#include <poll.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <utility>

#include "base/result.h"

namespace monitor {

class EventLoop {
 public:
  using Clock = std::chrono::steady_clock;

  // What a descriptor's callback is given: poll(2)'s events. An Error ends the wait.
  using OnReady = std::function<Status(short events)>;
  using OnTime = std::function<Status()>;

  // Callbacks of one wait run in this order, and those of one rank in the order in which they were added.
  enum class Rank { kFirst, kUsual, kLast };

  class Watch;
  class Timer;

  EventLoop() = default;
  EventLoop(const EventLoop&) = delete;
  EventLoop& operator=(const EventLoop&) = delete;
  ~EventLoop() = default;

  // Calls `ready` in each wait in which the descriptor has one of `events`, an error or a hangup, for as long as the
  // Watch exists. A descriptor below 0 never has any. The loop outlives the Watch.
  [[nodiscard]] Watch watch(int fd, short events, OnReady ready, Rank rank = Rank::kUsual);

  // The same, and sets `flag` instead of calling back.
  [[nodiscard]] Watch watch(int fd, short events, bool& flag, Rank rank = Rank::kUsual);

  // Calls `expired` once when the time that the Timer was set to has come, after the callbacks of descriptors. The loop
  // outlives the Timer.
  [[nodiscard]] Timer timer(OnTime expired);

  // When the first timer expires, if one is set.
  std::optional<Clock::time_point> next_timer() const;

  // Waits until something has come, and calls back everything that has. Returns at `until` at the latest. A callback
  // may add and destroy watches and timers, its own too.
  Status wait(std::optional<Clock::time_point> until = std::nullopt);

 private:
  using Key = std::pair<Rank, std::uint64_t>;
  struct Watched {
    int fd;
    short events;
    std::shared_ptr<OnReady> ready;  // shared with the call under way, which may destroy the Watch
  };
  struct Timed {
    std::optional<Clock::time_point> due;
    std::shared_ptr<OnTime> expired;
  };

  Status call_ready(const std::map<Key, short>& arrived);
  Status call_expired();

  std::uint64_t last_ = 0;
  std::map<Key, Watched> watched_;
  std::map<std::uint64_t, Timed> timed_;
};

// Ends the watching of one descriptor when it is destroyed.
class EventLoop::Watch {
 public:
  Watch() = default;
  Watch(Watch&& other) noexcept : loop_(std::exchange(other.loop_, nullptr)), key_(std::move(other.key_)) {}
  Watch& operator=(Watch&& other) noexcept;
  Watch(const Watch&) = delete;
  Watch& operator=(const Watch&) = delete;
  ~Watch() { end(); }

  // Waits for other events from now on.
  void change(short events);

 private:
  friend class EventLoop;
  Watch(EventLoop& loop, Key key) : loop_(&loop), key_(std::move(key)) {}
  void end();

  EventLoop* loop_ = nullptr;
  Key key_;
};

// A time to be called back at. Not set at first, and no longer set once it has expired.
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
