// SPDX-License-Identifier: Apache-2.0
#include "cli/view_loop.h"

#include <algorithm>
#include <chrono>
#include <optional>
#include <utility>

namespace monitor {
namespace {

class ViewLoop {
 public:
  // What wakes the loop: one line for each.
  ViewLoop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan, Sink& sink,
           const Warn& warn)
      : events_(events),
        observed_(observed),
        signals_(signals),
        sink_(sink),
        warn_(warn),
        schedule_(Clock::now(), plan),
        due_(events.timer([this] { return take_sample(); })),
        signal_(events.watch(signals.fd(), POLLIN, [this](short) { return handle_signals(); })),
        key_(events.watch([&sink] { return std::vector{sink.keys()}; }, POLLIN, [this](short) { return read_keys(); })),
        reader_gone_(events.watch([&sink] { return std::vector{sink.output()}; }, 0,
                                  [this](short) { return end(Ending::kDone); })),
        server_ended_(events.watch(observed.ended_fds, POLLIN, [this](short) { return sample_now(); })) {
    due_.set(schedule_.due());
  }

  Result<Ending> run() {
    while (!ending_) {
      TRY(events_.wait());
    }
    return *ending_;
  }

 private:
  using Clock = EventLoop::Clock;

  // Timers run after the other callbacks of a wait: however many of them ask for a sample, one is taken.
  Status sample_now() {
    due_.set(Clock::now());
    return Ok{};
  }

  Status stop() {
    stop_ = true;
    return sample_now();
  }

  Status end(Ending ending) {
    ending_ = ending;
    events_.end_wait();
    return Ok{};
  }

  Status read_keys() { return sink_.read_keys() ? stop() : Status(Ok{}); }

  Status handle_signals() {
    const Signals::Arrived arrived = signals_.take();
    if (arrived.reopen) {
      if (Status status = sink_.reopen(); !status) {
        warn_(status.error());
      }
    }
    if (arrived.stop) {
      return stop();
    }
    for (const auto& [has_arrived, handle] :
         {std::pair{arrived.suspend, &Sink::suspended}, std::pair{arrived.resumed, &Sink::resumed},
          std::pair{arrived.resized, &Sink::resized}}) {
      if (has_arrived && !ending_) {
        TRY(note(TRY((sink_.*handle)())));
      }
    }
    return Ok{};
  }

  // Takes and prints one sample, and ends the loop after the last one.
  Status take_sample() {
    const Sample sample = TRY(observed_.sample());
    TRY(note(TRY(sink_.print(sample.snapshots))));
    if (ending_) {
      return Ok{};
    }
    if (schedule_.due() <= Clock::now()) {
      schedule_.taken(Clock::now());
    }
    if (!stop_ && !sample.server_ended && !schedule_.finished()) {
      due_.set(schedule_.due());
      return Ok{};
    }
    TRY(sink_.finish());
    return end(sample.server_ended && !stop_ ? Ending::kServerEnded : Ending::kDone);
  }

  Status note(Written written) { return written == Written::kReaderGone ? end(Ending::kDone) : Status(Ok{}); }

  EventLoop& events_;
  const Observed& observed_;
  const Signals& signals_;
  Sink& sink_;
  const Warn& warn_;
  Schedule schedule_;
  bool stop_ = false;  // the next sample is the last one
  std::optional<Ending> ending_;
  EventLoop::Timer due_;
  EventLoop::Watch signal_;
  EventLoop::Watch key_;
  EventLoop::Watch reader_gone_;
  EventLoop::Watch server_ended_;
};

}  // namespace

Result<Ending> run_view_loop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan,
                             Sink& sink, const Warn& warn) {
  return ViewLoop(events, observed, signals, plan, sink, warn).run();
}

}  // namespace monitor
