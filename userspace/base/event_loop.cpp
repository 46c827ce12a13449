// SPDX-License-Identifier: Apache-2.0
#include "base/event_loop.h"

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <vector>

namespace monitor {
namespace {

constexpr short kAlwaysReported = POLLERR | POLLHUP | POLLNVAL;  // poll(2) reports these unasked

timespec time_left(EventLoop::Clock::time_point due) {
  const auto left = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(due - EventLoop::Clock::now()));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
}

}  // namespace

EventLoop::Watch EventLoop::watch(int fd, short events, OnReady ready, Rank rank) {
  return add({fd, {}, events, std::make_shared<OnReady>(std::move(ready))}, rank);
}

EventLoop::Watch EventLoop::watch(Descriptors descriptors, short events, OnReady ready, Rank rank) {
  return add({-1, std::move(descriptors), events, std::make_shared<OnReady>(std::move(ready))}, rank);
}

EventLoop::Watch EventLoop::add(Watched watched, Rank rank) {
  const Key key{rank, ++last_};
  watched_.emplace(key, std::move(watched));
  return {*this, key};
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
  ending_ = false;
  std::vector<pollfd> polled;
  std::vector<Key> keys;
  for (const auto& [key, watched] : watched_) {
    for (const int fd : watched.descriptors ? watched.descriptors() : std::vector{watched.fd}) {
      polled.push_back({fd, watched.events, 0});
      keys.push_back(key);
    }
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
      short& events = arrived[keys[i]];
      events = static_cast<short>(events | polled[i].revents);
    }
  }
  TRY(call_ready(arrived));
  return call_expired();
}

Status EventLoop::call_ready(const std::map<Key, short>& arrived) {
  for (const auto& [key, events] : arrived) {
    const auto watched = watched_.find(key);
    if (ending_ || watched == watched_.end()) {  // an earlier callback may have ended the watching
      continue;
    }
    const auto wanted = static_cast<short>(events & (watched->second.events | kAlwaysReported));
    if (wanted != 0) {
      const std::shared_ptr<OnReady> ready = watched->second.ready;
      TRY((*ready)(wanted));
    }
  }
  return Ok{};
}

Status EventLoop::call_expired() {
  const auto now = Clock::now();
  std::vector<std::pair<Clock::time_point, std::uint64_t>> due;
  for (const auto& [key, timed] : timed_) {
    if (timed.due && *timed.due <= now) {
      due.emplace_back(*timed.due, key);
    }
  }
  std::sort(due.begin(), due.end());
  for (const auto& [time, key] : due) {
    const auto timed = timed_.find(key);
    if (!ending_ && timed != timed_.end() && timed->second.due && *timed->second.due <= now) {
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
