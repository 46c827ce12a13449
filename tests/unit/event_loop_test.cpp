// SPDX-License-Identifier: Apache-2.0
// The event loop with pipes, timers and signals made by the test: which callbacks run, when, and in which order.
#include "base/event_loop.h"

#include <doctest/doctest.h>
#include <signal.h>
#include <sys/time.h>
#include <unistd.h>

#include <chrono>
#include <optional>
#include <string>
#include <vector>

#include "base/signals.h"
#include "pipe.h"
#include "signal_mask.h"

namespace monitor {
namespace {

using Clock = EventLoop::Clock;
using Names = std::vector<std::string>;
using Rank = EventLoop::Rank;
using std::chrono::hours;
using std::chrono::milliseconds;
using test::Pipe;

// A pipe with a byte in it.
struct ReadyPipe : Pipe {
  ReadyPipe() { REQUIRE(::write(write_end.get(), "x", 1) == 1); }
  int fd() const { return read_end.get(); }
};

// A loop that records which callbacks run.
struct Fixture {
  EventLoop loop;
  Names called;

  EventLoop::OnReady note(const std::string& name) {
    return [this, name](short) {
      called.push_back(name);
      return Ok{};
    };
  }
  EventLoop::OnTime note_time(const std::string& name) {
    return [this, name] {
      called.push_back(name);
      return Ok{};
    };
  }
  // Waits once without blocking; returns the callbacks that ran.
  Names wait() {
    called.clear();
    REQUIRE(loop.wait(Clock::now()));
    return called;
  }
};

}  // namespace

TEST_CASE("event loop.watch: ranks come first, then the order of adding") {
  Fixture fixture;
  const ReadyPipe pipe;
  const auto last = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("last"), Rank::kLast);
  const auto usual = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("usual"));
  const auto first = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("first"), Rank::kFirst);
  const auto usual_too = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("usual too"), Rank::kUsual);
  const auto first_too = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("first too"), Rank::kFirst);
  CHECK(fixture.wait() == Names{"first", "first too", "usual", "usual too", "last"});
  CHECK(fixture.wait().size() == 5);  // in each wait in which the descriptor is ready
}

TEST_CASE("event loop.watch: ends with the Watch") {
  Fixture fixture;
  const ReadyPipe pipe;
  {
    const auto watch = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("a"));
    CHECK(fixture.wait() == Names{"a"});
  }
  CHECK(fixture.wait().empty());
  auto moved_from = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("b"));
  auto moved_to = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("c"));
  moved_to = std::move(moved_from);
  CHECK(fixture.wait() == Names{"b"});
}

TEST_CASE("event loop.watch: a callback ends its own watch, and what it captured outlives the call") {
  Fixture fixture;
  const ReadyPipe pipe;
  std::optional<EventLoop::Watch> watch;
  const std::string captured = "a name that does not fit into the string itself";
  watch = fixture.loop.watch(pipe.fd(), POLLIN, [&fixture, &watch, captured](short) {
    watch.reset();
    fixture.called.push_back(captured);
    return Ok{};
  });
  CHECK(fixture.wait() == Names{captured});
  CHECK(fixture.wait().empty());
}

TEST_CASE("event loop.watch: a callback ends another one of the same wait") {
  Fixture fixture;
  const ReadyPipe pipe;
  std::optional<EventLoop::Watch> other;
  const auto first = fixture.loop.watch(
      pipe.fd(), POLLIN,
      [&](short) {
        other.reset();
        return Ok{};
      },
      Rank::kFirst);
  other = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("other"));
  CHECK(fixture.wait().empty());
}

TEST_CASE("event loop.watch: one added by a callback begins with the next wait") {
  Fixture fixture;
  const ReadyPipe pipe;
  std::optional<EventLoop::Watch> added;
  const auto first = fixture.loop.watch(
      pipe.fd(), POLLIN,
      [&](short) {
        if (!added) {
          added = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("added"), Rank::kLast);
        }
        return Ok{};
      },
      Rank::kFirst);
  CHECK(fixture.wait().empty());
  CHECK(fixture.wait() == Names{"added"});
}

TEST_CASE("event loop.watch: changed events hold at once, also in the wait under way") {
  Fixture fixture;
  const ReadyPipe pipe;
  auto watch = fixture.loop.watch(pipe.fd(), POLLOUT, fixture.note("watch"));
  CHECK(fixture.wait().empty());
  watch.change(POLLIN);
  CHECK(fixture.wait() == Names{"watch"});
  const auto first = fixture.loop.watch(
      pipe.fd(), POLLIN,
      [&](short) {
        watch.change(0);
        return Ok{};
      },
      Rank::kFirst);
  CHECK(fixture.wait().empty());
}

TEST_CASE("event loop.watch: the end of the other side is reported even if no event is asked for") {
  Fixture fixture;
  Pipe pipe;
  short seen = 0;
  const auto watch = fixture.loop.watch(pipe.write_end.get(), 0, [&](short events) {
    seen = events;
    return Ok{};
  });
  fixture.wait();
  CHECK(seen == 0);
  pipe.read_end.reset();
  fixture.wait();
  CHECK(seen == POLLERR);
}

TEST_CASE("event loop.watch: a negative descriptor is never ready") {
  Fixture fixture;
  const ReadyPipe pipe;
  const auto none = fixture.loop.watch(-1, POLLIN, fixture.note("none"));
  const auto one = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("one"));
  CHECK(fixture.wait() == Names{"one"});
}

TEST_CASE("event loop.watch: descriptors that differ from wait to wait have one callback") {
  Fixture fixture;
  const ReadyPipe one;
  ReadyPipe two;
  two.write_end.reset();  // POLLIN and POLLHUP
  std::vector<int> descriptors;
  short seen = 0;
  const auto watch = fixture.loop.watch([&descriptors] { return descriptors; }, POLLIN,
                                        [&](short events) {
                                          fixture.called.emplace_back("called");
                                          seen = events;
                                          return Ok{};
                                        });
  CHECK(fixture.wait().empty());
  descriptors = {-1, one.fd(), two.fd()};
  CHECK(fixture.wait() == Names{"called"});
  CHECK(seen == (POLLIN | POLLHUP));
  descriptors = {one.fd()};
  CHECK(fixture.wait() == Names{"called"});
  CHECK(seen == POLLIN);
  descriptors.clear();
  CHECK(fixture.wait().empty());
}

TEST_CASE("event loop.timer: expires once, at its time") {
  Fixture fixture;
  auto timer = fixture.loop.timer(fixture.note_time("timer"));
  CHECK(fixture.wait().empty());
  CHECK_FALSE(fixture.loop.next_timer());
  const auto due = Clock::now() + milliseconds(20);
  timer.set(due);
  CHECK(fixture.loop.next_timer() == due);
  REQUIRE(fixture.loop.wait());
  CHECK(Clock::now() >= due);
  CHECK(fixture.called == Names{"timer"});
  CHECK_FALSE(fixture.loop.next_timer());
  CHECK(fixture.wait().empty());
  timer.set(Clock::now());
  timer.set(std::nullopt);
  CHECK(fixture.wait().empty());
}

TEST_CASE("event loop.timer: set again in its own callback, it expires in the next wait") {
  Fixture fixture;
  std::optional<EventLoop::Timer> timer;
  timer = fixture.loop.timer([&] {
    fixture.called.emplace_back("timer");
    timer->set(Clock::now());
    return Ok{};
  });
  timer->set(Clock::now());
  CHECK(fixture.wait() == Names{"timer"});
  CHECK(fixture.wait() == Names{"timer"});
  timer->set(Clock::now() + hours(1));
  CHECK(fixture.wait().empty());
}

TEST_CASE("event loop.timer: two timers run in the order of their times") {
  Fixture fixture;
  auto one = fixture.loop.timer(fixture.note_time("one"));
  auto two = fixture.loop.timer(fixture.note_time("two"));
  const auto now = Clock::now();
  one.set(now);
  two.set(now - milliseconds(1));
  CHECK(fixture.loop.next_timer() == now - milliseconds(1));
  CHECK(fixture.wait() == Names{"two", "one"});
  two.set(now);
  one.set(now);
  CHECK(fixture.wait() == Names{"one", "two"});  // at the same time: the order of adding
  one.set(now + hours(1));
  two.set(now);
  CHECK(fixture.wait() == Names{"two"});
  CHECK(fixture.loop.next_timer() == now + hours(1));
}

TEST_CASE("event loop.timer: a callback postpones, cancels or destroys another one of the same wait") {
  Fixture fixture;
  const auto now = Clock::now();
  std::optional<EventLoop::Timer> postponed;
  std::optional<EventLoop::Timer> cancelled;
  std::optional<EventLoop::Timer> destroyed;
  auto first = fixture.loop.timer([&] {
    postponed->set(now + hours(1));
    cancelled->set(std::nullopt);
    destroyed.reset();
    return Ok{};
  });
  for (auto* const timer : {&postponed, &cancelled, &destroyed}) {
    *timer = fixture.loop.timer(fixture.note_time("another"));
    (*timer)->set(now);
  }
  first.set(now - milliseconds(1));
  CHECK(fixture.wait().empty());
  CHECK(fixture.loop.next_timer() == now + hours(1));
}

TEST_CASE("event loop.timer: a callback destroys its own timer") {
  Fixture fixture;
  std::optional<EventLoop::Timer> timer;
  const std::string captured = "a name that does not fit into the string itself";
  timer = fixture.loop.timer([&fixture, &timer, captured] {
    timer.reset();
    fixture.called.push_back(captured);
    return Ok{};
  });
  timer->set(Clock::now());
  CHECK(fixture.wait() == Names{captured});
  CHECK_FALSE(fixture.loop.next_timer());
}

TEST_CASE("event loop.timer: runs after the descriptors, also when one of them has just set it") {
  Fixture fixture;
  const ReadyPipe pipe;
  auto timer = fixture.loop.timer(fixture.note_time("timer"));
  const auto watch = fixture.loop.watch(
      pipe.fd(), POLLIN,
      [&](short) {
        fixture.called.emplace_back("last");
        timer.set(Clock::now());
        return Ok{};
      },
      Rank::kLast);
  CHECK(fixture.wait() == Names{"last", "timer"});
}

TEST_CASE("event loop.wait: returns at the time given, although nothing was ready") {
  Fixture fixture;
  const auto until = Clock::now() + milliseconds(20);
  auto later = fixture.loop.timer(fixture.note_time("later"));
  later.set(until + hours(1));
  REQUIRE(fixture.loop.wait(until));
  CHECK(Clock::now() >= until);
  CHECK(fixture.called.empty());
}

TEST_CASE("event loop.wait: an Error ends it, and the callbacks that it did not reach run in the next one") {
  Fixture fixture;
  const ReadyPipe pipe;
  auto failing = std::optional(fixture.loop.watch(
      pipe.fd(), POLLIN,
      [](short) {
        return Error{ErrorCode::kFailed, "disk full"};
      },
      Rank::kFirst));
  const auto watch = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("watch"));
  auto timer = fixture.loop.timer(fixture.note_time("timer"));
  timer.set(Clock::now());
  const Status status = fixture.loop.wait();
  REQUIRE_FALSE(status);
  CHECK(status.error().what == "disk full");
  CHECK(fixture.called.empty());
  failing.reset();
  CHECK(fixture.wait() == Names{"watch", "timer"});
}

TEST_CASE("event loop.wait: end_wait skips the callbacks that follow, in this wait only") {
  Fixture fixture;
  const ReadyPipe pipe;
  bool ends = true;
  const auto first = fixture.loop.watch(
      pipe.fd(), POLLIN,
      [&](short) {
        fixture.called.emplace_back("first");
        if (ends) {
          fixture.loop.end_wait();
        }
        return Ok{};
      },
      Rank::kFirst);
  const auto usual = fixture.loop.watch(pipe.fd(), POLLIN, fixture.note("usual"));
  auto timer = fixture.loop.timer(fixture.note_time("timer"));
  timer.set(Clock::now());
  CHECK(fixture.wait() == Names{"first"});
  ends = false;
  CHECK(fixture.wait() == Names{"first", "usual", "timer"});
}

TEST_CASE("event loop.wait: end_wait in a timer skips the timers that follow") {
  Fixture fixture;
  auto one = fixture.loop.timer([&] {
    fixture.loop.end_wait();
    return Ok{};
  });
  auto two = fixture.loop.timer(fixture.note_time("two"));
  one.set(Clock::now());
  two.set(Clock::now());
  CHECK(fixture.wait().empty());
  CHECK(fixture.wait() == Names{"two"});
}

TEST_CASE("event loop.wait: a blocked signal is an event like any other") {
  const test::SignalMask mask;
  Fixture fixture;
  const Result<Signals> signals = Signals::block({.hangup_reopens = true, .terminal = false});
  REQUIRE(signals);
  bool reopen = false;
  bool stop = false;
  const auto watch = fixture.loop.watch(signals->fd(), POLLIN, [&](short) {
    const Signals::Arrived arrived = signals->take();
    reopen |= arrived.reopen;
    stop |= arrived.stop;
    return Ok{};
  });
  fixture.wait();
  CHECK_FALSE(reopen);
  ::raise(SIGHUP);
  REQUIRE(fixture.loop.wait());
  CHECK(reopen);
  CHECK_FALSE(stop);
  ::raise(SIGTERM);
  REQUIRE(fixture.loop.wait());
  CHECK(stop);
}

TEST_CASE("event loop.wait: a signal with a handler interrupts it without an Error") {
  struct sigaction action {};
  struct sigaction before {};
  action.sa_handler = [](int) {};
  REQUIRE(::sigaction(SIGALRM, &action, &before) == 0);
  Fixture fixture;
  auto timer = fixture.loop.timer(fixture.note_time("timer"));
  timer.set(Clock::now() + hours(1));
  constexpr timeval kSoon{.tv_sec = 0, .tv_usec = 20000};
  const itimerval repeated{.it_interval = kSoon, .it_value = kSoon};  // the first may come before the wait begins
  REQUIRE(::setitimer(ITIMER_REAL, &repeated, nullptr) == 0);
  CHECK(fixture.loop.wait(Clock::now() + hours(1)));
  const itimerval off{};
  ::setitimer(ITIMER_REAL, &off, nullptr);
  CHECK(fixture.called.empty());
  ::sigaction(SIGALRM, &before, nullptr);
}

}  // namespace monitor
