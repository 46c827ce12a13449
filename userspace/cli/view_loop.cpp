// SPDX-License-Identifier: Apache-2.0
#include "cli/view_loop.h"

#include <optional>
#include <utility>
#include <vector>

namespace monitor {
namespace {

class ViewLoop {
 public:
  // Everything that wakes the loop is added here, one line each.
  ViewLoop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan, Sink& sink,
           const Warn& warn)
      : events_(events),
        observed_(observed),
        signals_(signals),
        sink_(sink),
        warn_(warn),
        schedule_(Clock::now(), plan),
        due_(events.timer([this] { return take_sample(); })) {
    // The descriptors of a sink change: a log is reopened, a suspended terminal gives no keys.
    const auto keys = [&sink] { return std::vector{sink.keys()}; };
    const auto output = [&sink] { return std::vector{sink.output()}; };
    due_.set(schedule_.due());
    watches_.push_back(events.watch(signals.fd(), POLLIN, [this](short) { return handle_signals(); }));
    watches_.push_back(events.watch(keys, POLLIN, [this](short) { return read_keys(); }));
    watches_.push_back(events.watch(output, 0, [this](short) { return end(Ending::kDone); }));  // its reader has gone
    watches_.push_back(events.watch(observed.ended_fds, POLLIN, [this](short) { return sample_now(); }));
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
  std::vector<EventLoop::Watch> watches_;
};

}  // namespace

Result<Ending> run_view_loop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan,
                             Sink& sink, const Warn& warn) {
  return ViewLoop(events, observed, signals, plan, sink, warn).run();
}

}  // namespace monitor
