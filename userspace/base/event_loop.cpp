// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <vector>

namespace monitor {
namespace {

timespec time_left(EventLoop::Clock::time_point due) {
  const auto left = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(due - EventLoop::Clock::now()));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
}

}  // namespace

EventLoop::Watch EventLoop::watch(int fd, short events, OnReady ready, Rank rank) {
  const Key key{rank, ++last_};
  watched_.emplace(key, Watched{fd, events, std::make_shared<OnReady>(std::move(ready))});
  return {*this, key};
}

EventLoop::Watch EventLoop::watch(int fd, short events, bool& flag, Rank rank) {
  return watch(
      fd, events,
      [&flag](short) {
        flag = true;
        return Ok{};
      },
      rank);
}

EventLoop::Timer EventLoop::timer(OnTime expired) {
  timed_.emplace(++last_, Timed{std::nullopt, std::make_shared<OnTime>(std::move(expired))});
  return {*this, last_};
}

std::optional<EventLoop::Clock::time_point> EventLoop::next_timer() const {
  std::optional<Clock::time_point> next;
  for (const auto& [key, timed] : timed_) {
    if (timed.due && (!next || *timed.due < *next)) {
      next = timed.due;
    }
  }
  return next;
}

Status EventLoop::wait(std::optional<Clock::time_point> until) {
  std::vector<pollfd> polled;
  std::vector<Key> keys;
  for (const auto& [key, watched] : watched_) {
    polled.push_back({watched.fd, watched.events, 0});
    keys.push_back(key);
  }
  const std::optional<Clock::time_point> timer = next_timer();
  if (timer && (!until || *timer < *until)) {
    until = timer;
  }
  const timespec left = until ? time_left(*until) : timespec{};
  const int ready = ::ppoll(polled.data(), polled.size(), until ? &left : nullptr, nullptr);
  if (ready < 0 && errno != EINTR) {
    return system_error(errno, "wait for events");
  }
  std::map<Key, short> arrived;
  for (std::size_t i = 0; ready > 0 && i < polled.size(); ++i) {
    if (polled[i].revents != 0) {
      arrived.emplace(keys[i], polled[i].revents);
    }
  }
  TRY(call_ready(arrived));
  return call_expired();
}

Status EventLoop::call_ready(const std::map<Key, short>& arrived) {
  for (const auto& [key, events] : arrived) {
    const auto watched = watched_.find(key);
    if (watched != watched_.end()) {  // an earlier callback may have ended the watching
      const std::shared_ptr<OnReady> ready = watched->second.ready;
      TRY((*ready)(events));
    }
  }
  return Ok{};
}

Status EventLoop::call_expired() {
  const auto now = Clock::now();
  std::vector<std::uint64_t> due;
  for (const auto& [key, timed] : timed_) {
    if (timed.due && *timed.due <= now) {
      due.push_back(key);
    }
  }
  for (const std::uint64_t key : due) {
    const auto timed = timed_.find(key);
    if (timed != timed_.end() && timed->second.due && *timed->second.due <= now) {
      timed->second.due.reset();
      const std::shared_ptr<OnTime> expired = timed->second.expired;
      TRY((*expired)());
    }
  }
  return Ok{};
}

EventLoop::Watch& EventLoop::Watch::operator=(Watch&& other) noexcept {
  if (this != &other) {
    end();
    loop_ = std::exchange(other.loop_, nullptr);
    key_ = other.key_;
  }
  return *this;
}

void EventLoop::Watch::change(short events) {
  loop_->watched_.at(key_).events = events;
}

void EventLoop::Watch::end() {
  if (loop_ != nullptr) {
    loop_->watched_.erase(key_);
    loop_ = nullptr;
  }
}

EventLoop::Timer& EventLoop::Timer::operator=(Timer&& other) noexcept {
  if (this != &other) {
    end();
    loop_ = std::exchange(other.loop_, nullptr);
    key_ = other.key_;
  }
  return *this;
}

void EventLoop::Timer::set(std::optional<Clock::time_point> due) {
  loop_->timed_.at(key_).due = due;
}

void EventLoop::Timer::end() {
  if (loop_ != nullptr) {
    loop_->timed_.erase(key_);
    loop_ = nullptr;
  }
}

}  // namespace monitor
