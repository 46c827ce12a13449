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
  ViewLoop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan, Sink& sink,
           const Warn& warn)
      : events_(events),
        observed_(observed),
        signals_(signals),
        sink_(sink),
        warn_(warn),
        schedule_(std::chrono::steady_clock::now(), plan) {}

  Result<Ending> run() {
    while (!ending_) {
      TRY(turn());
    }
    return *ending_;
  }

 private:
  struct Woken {
    bool signal = false;
    bool key = false;
    bool reader_gone = false;
    bool server_ended = false;
  };

  // Waits until something happens or the next sample is due. The descriptors are other ones in each turn: servers come
  // and go, a log is reopened, a suspended terminal gives no keys.
  Result<Woken> wait() {
    Woken woken;
    std::vector<EventLoop::Watch> watches;
    watches.push_back(events_.watch(signals_.fd(), POLLIN, woken.signal));
    watches.push_back(events_.watch(sink_.keys(), POLLIN, woken.key));
    watches.push_back(events_.watch(sink_.output(), 0, woken.reader_gone));
    for (const int server : observed_.ended_fds()) {
      watches.push_back(events_.watch(server, POLLIN, woken.server_ended));
    }
    TRY(events_.wait(schedule_.due()));
    return woken;
  }

  Status turn() {
    const Woken woken = TRY(wait());
    bool stop = woken.signal && TRY(handle_signals());
    stop |= woken.key && sink_.read_keys();
    if (ending_) {
      return Ok{};
    }
    if (woken.reader_gone) {
      ending_ = Ending::kDone;
      return Ok{};
    }
    if (stop || woken.server_ended || std::chrono::steady_clock::now() >= schedule_.due()) {
      return take_sample(stop);
    }
    return Ok{};
  }

  // Returns whether to stop.
  Result<bool> handle_signals() {
    const Signals::Arrived arrived = signals_.take();
    if (arrived.reopen) {
      if (Status status = sink_.reopen(); !status) {
        warn_(status.error());
      }
    }
    for (const auto& [has_arrived, handle] :
         {std::pair{arrived.suspend, &Sink::suspended}, std::pair{arrived.resumed, &Sink::resumed},
          std::pair{arrived.resized, &Sink::resized}}) {
      if (has_arrived && !arrived.stop && !ending_) {
        note(TRY((sink_.*handle)()));
      }
    }
    return arrived.stop;
  }

  // Takes and prints one sample, and ends the loop after the last one.
  Status take_sample(bool stop) {
    const Sample sample = TRY(observed_.sample());
    note(TRY(sink_.print(sample.snapshots)));
    if (ending_) {
      return Ok{};
    }
    if (schedule_.due() <= std::chrono::steady_clock::now()) {
      schedule_.taken(std::chrono::steady_clock::now());
    }
    if (!stop && !sample.server_ended && !schedule_.finished()) {
      return Ok{};
    }
    note(TRY(sink_.finish()));
    ending_ = sample.server_ended && !stop ? Ending::kServerEnded : Ending::kDone;
    return Ok{};
  }

  void note(Written written) {
    if (written == Written::kReaderGone) {
      ending_ = Ending::kDone;
    }
  }

  EventLoop& events_;
  const Observed& observed_;
  const Signals& signals_;
  Sink& sink_;
  const Warn& warn_;
  Schedule schedule_;
  std::optional<Ending> ending_;
};

}  // namespace

Result<Ending> run_view_loop(EventLoop& events, const Observed& observed, const Signals& signals, const Plan& plan,
                             Sink& sink, const Warn& warn) {
  return ViewLoop(events, observed, signals, plan, sink, warn).run();
}

}  // namespace monitor
