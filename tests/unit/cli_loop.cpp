// SPDX-License-Identifier: Apache-2.0
// The view's loop with a server, a sink and signals made by the test: what ends it, and what it prints before.
#include <doctest/doctest.h>
#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <array>
#include <string>
#include <vector>

#include "base/fd.h"
#include "cli/view_loop.h"
#include "pipe.h"
#include "signal_mask.h"

namespace monitor {
namespace {

using test::Pipe;
using test::SignalMask;

class RecordingSink : public Sink {
 public:
  Result<Written> print(const std::vector<Snapshot>& snapshots) override {
    totals.push_back(snapshots.at(0).total);
    return outcome;
  }
  Result<Written> finish() override {
    ++finished;
    return Written::kWhole;
  }
  Result<Written> resized() override {
    ++redrawn;
    return Written::kWhole;
  }
  Status reopen() override {
    ++reopened;
    return Error{ErrorCode::kFailed, "cannot", ""};
  }
  int output() const override { return pipe.write_end.get(); }
  int keys() const override { return key_pipe.read_end.get(); }
  bool read_keys() override { return true; }

  Pipe pipe;
  Pipe key_pipe;
  Result<Written> outcome = Written::kWhole;
  std::vector<std::uint64_t> totals;
  int finished = 0;
  int redrawn = 0;
  int reopened = 0;
};

// Samples number 1, 2, … `at` is called before sample n is read.
struct Fixture {
  SignalMask mask;
  Pipe server;
  RecordingSink sink;
  std::uint64_t samples = 0;
  std::function<void(std::uint64_t)> at = [](std::uint64_t) {};
  bool server_ended = false;
  std::vector<std::string> warnings;

  void end_server() {
    server_ended = true;
    REQUIRE(::write(server.write_end.get(), "x", 1) == 1);
  }

  Result<Ending> run(const Plan& plan, const SignalUse& use = {}) {
    Result<Signals> signals = Signals::block(use);
    REQUIRE(signals);
    const Observed observed{[this]() -> Result<Sample> {
                              at(++samples);
                              Sample sample;
                              sample.snapshots.resize(1);
                              sample.snapshots[0].total = samples;
                              sample.server_ended = server_ended;
                              return sample;
                            },
                            [this] { return std::vector<int>{server.read_end.get()}; }};
    EventLoop events;
    return run_view_loop(events, observed, *signals, plan, sink,
                         [this](const Error& error) { warnings.push_back(error.what); });
  }
};

using Totals = std::vector<std::uint64_t>;
constexpr double kSoon = 0.01;
constexpr double kNever = 86400;

}  // namespace

TEST_CASE("cli.view loop.count") {
  Fixture fixture;
  Result<Ending> ending = fixture.run(Plan{kSoon, true, 3, {}});
  REQUIRE(ending);
  CHECK(*ending == Ending::kDone);
  CHECK(fixture.sink.totals == Totals{1, 2, 3});
  CHECK(fixture.sink.finished == 1);
}

TEST_CASE("cli.view loop.a signal to stop is followed by one more sample") {
  for (const int signal : {SIGINT, SIGTERM, SIGQUIT, SIGHUP}) {
    CAPTURE(signal);
    Fixture fixture;
    fixture.at = [signal](std::uint64_t sample) {
      if (sample == 1) {
        ::raise(signal);
      }
    };
    Result<Ending> ending = fixture.run(Plan{kNever, true, {}, {}});
    REQUIRE(ending);
    CHECK(*ending == Ending::kDone);
    CHECK(fixture.sink.totals == Totals{1, 2});
    CHECK(fixture.sink.finished == 1);
  }
}

TEST_CASE("cli.view loop.a signal before the only sample brings it forward") {
  Fixture fixture;
  Result<Signals> early = Signals::block({});
  REQUIRE(early);
  ::raise(SIGINT);
  REQUIRE(fixture.run(Plan{kNever, false, 1, {}}));
  CHECK(fixture.sink.totals == Totals{1});
}

TEST_CASE("cli.view loop.nohup is respected") {
  Fixture fixture;
  ::signal(SIGHUP, SIG_IGN);
  fixture.at = [](std::uint64_t sample) { ::raise(sample == 1 ? SIGHUP : SIGTERM); };
  REQUIRE(fixture.run(Plan{kSoon, true, {}, {}}));
  CHECK(fixture.sink.totals == Totals{1, 2, 3});
}

TEST_CASE("cli.view loop.q stops") {
  Fixture fixture;
  fixture.at = [&fixture](std::uint64_t sample) {
    if (sample == 1) {
      REQUIRE(::write(fixture.sink.key_pipe.write_end.get(), "q", 1) == 1);
    }
  };
  REQUIRE(fixture.run(Plan{kNever, true, {}, {}}));
  CHECK(fixture.sink.totals == Totals{1, 2});
}

TEST_CASE("cli.view loop.the server's end is followed by one more sample") {
  Fixture fixture;
  fixture.at = [&fixture](std::uint64_t sample) {
    if (sample == 2) {
      fixture.server_ended = true;
    } else {
      REQUIRE(::write(fixture.server.write_end.get(), "x", 1) == 1);
    }
  };
  Result<Ending> ending = fixture.run(Plan{kNever, true, {}, {}});
  REQUIRE(ending);
  CHECK(*ending == Ending::kServerEnded);
  CHECK(fixture.sink.totals == Totals{1, 2});
  CHECK(fixture.sink.finished == 1);
}

TEST_CASE("cli.view loop.a signal to stop while the server ends") {
  Fixture fixture;
  fixture.at = [&fixture](std::uint64_t sample) {
    if (sample == 1) {
      ::raise(SIGTERM);
    } else {
      fixture.end_server();
    }
  };
  Result<Ending> ending = fixture.run(Plan{kNever, true, {}, {}});
  REQUIRE(ending);
  CHECK(*ending == Ending::kDone);
}

TEST_CASE("cli.view loop.a reader that has left ends it quietly") {
  Fixture waiting;
  waiting.at = [&waiting](std::uint64_t) { waiting.sink.pipe.read_end.reset(); };
  Result<Ending> ending = waiting.run(Plan{kNever, true, {}, {}});
  REQUIRE(ending);
  CHECK(*ending == Ending::kDone);
  CHECK(waiting.sink.totals == Totals{1});

  Fixture printing;
  printing.sink.outcome = Written::kReaderGone;
  REQUIRE(printing.run(Plan{kSoon, true, {}, {}}));
  CHECK(printing.sink.totals == Totals{1});
  CHECK(printing.sink.finished == 0);
}

TEST_CASE("cli.view loop.errors end it") {
  Fixture fixture;
  fixture.sink.outcome = Error{ErrorCode::kFailed, "disk full", ""};
  Result<Ending> ending = fixture.run(Plan{kSoon, true, {}, {}});
  REQUIRE_FALSE(ending);
  CHECK(ending.error().what == "disk full");
}

TEST_CASE("cli.view loop.hangup reopens the log, and a failure to do so is a warning") {
  Fixture fixture;
  fixture.at = [](std::uint64_t sample) {
    if (sample == 1) {
      ::raise(SIGHUP);
    } else {
      ::raise(SIGTERM);
    }
  };
  REQUIRE(fixture.run(Plan{kSoon, true, {}, {}}, {true, false}));
  CHECK(fixture.sink.reopened == 1);
  CHECK(fixture.warnings == std::vector<std::string>{"cannot"});
  CHECK(fixture.sink.totals == Totals{1, 2, 3});
}

TEST_CASE("cli.view loop.a new size redraws without a sample") {
  Fixture fixture;
  fixture.at = [](std::uint64_t sample) { ::raise(sample == 1 ? SIGWINCH : SIGTERM); };
  REQUIRE(fixture.run(Plan{kSoon, true, {}, {}}, {false, true}));
  CHECK(fixture.sink.redrawn == 1);
}

}  // namespace monitor
