// SPDX-License-Identifier: Apache-2.0
#include "cli/loop.h"

#include <poll.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <ctime>
#include <optional>
#include <utility>

namespace monitor {
namespace {

struct Woken {
  bool due = false;
  bool signal = false;
  bool server_ended = false;
  bool key = false;
  bool reader_gone = false;
};

timespec time_until(Moment due, Moment now) {
  const auto left = std::max(std::chrono::nanoseconds(0), std::chrono::nanoseconds(due - now));
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(left);
  return {static_cast<time_t>(seconds.count()), static_cast<long>((left - seconds).count())};
}

// Waits until something happens or `due` has come. poll(2) passes over descriptors below 0.
Result<Woken> wait(int signals, const std::vector<int>& servers, int keys, int output, Moment due) {
  std::vector<pollfd> polled{{signals, POLLIN, 0}, {keys, POLLIN, 0}, {output, 0, 0}};
  const std::size_t first_server = polled.size();
  for (const int server : servers) {
    polled.push_back({server, POLLIN, 0});
  }
  const timespec timeout = time_until(due, std::chrono::steady_clock::now());
  if (::ppoll(polled.data(), polled.size(), &timeout, nullptr) < 0 && errno != EINTR) {
    return system_error(errno, "wait for the next sample");
  }
  Woken woken;
  woken.due = std::chrono::steady_clock::now() >= due;
  woken.signal = polled[0].revents != 0;
  woken.key = polled[1].revents != 0;
  woken.reader_gone = (polled[2].revents & (POLLERR | POLLHUP | POLLNVAL)) != 0;
  woken.server_ended = std::any_of(polled.begin() + static_cast<std::ptrdiff_t>(first_server), polled.end(),
                                   [](const pollfd& server) { return server.revents != 0; });
  return woken;
}

class Loop {
 public:
  Loop(const Followed& followed, const Signals& signals, const Plan& plan, Printer& printer,
       const std::function<void(const Error&)>& warn)
      : followed_(followed),
        signals_(signals),
        printer_(printer),
        warn_(warn),
        schedule_(std::chrono::steady_clock::now(), plan) {}

  // Goes on until there is an ending.
  Result<Ending> run() {
    while (!ending_) {
      if (Status status = turn(); !status) {
        return std::move(status).error();
      }
    }
    return *ending_;
  }

 private:
  Status turn() {
    Result<Woken> woken =
        wait(signals_.fd(), followed_.ended_fds(), printer_.keys(), printer_.output(), schedule_.due());
    if (!woken) {
      return std::move(woken).error();
    }
    bool stop = false;
    if (woken->signal) {
      Result<bool> asked = handle_signals();
      if (!asked) {
        return std::move(asked).error();
      }
      stop = *asked;
    }
    stop |= woken->key && printer_.read_keys() == Keys::Pressed::kQuit;
    if (ending_) {
      return Ok{};
    }
    if (woken->reader_gone) {
      ending_ = Ending::kDone;
      return Ok{};
    }
    if (stop || woken->server_ended || woken->due) {
      return sample(stop);
    }
    return Ok{};
  }

  // Whether to stop.
  Result<bool> handle_signals() {
    const Signals::Arrived arrived = signals_.take();
    if (arrived.reopen) {
      if (Status status = printer_.reopen(); !status) {
        warn_(status.error());
      }
    }
    for (const auto& [has_arrived, handle] :
         {std::pair{arrived.suspend, &Printer::suspended}, std::pair{arrived.resumed, &Printer::resumed},
          std::pair{arrived.resized, &Printer::resized}}) {
      if (has_arrived && !arrived.stop && !ending_) {
        if (Status status = note((printer_.*handle)()); !status) {
          return std::move(status).error();
        }
      }
    }
    return arrived.stop;
  }

  // Reads and prints one sample, and ends the loop when it is the last.
  Status sample(bool stop) {
    Result<Look> look = followed_.look();
    if (!look) {
      return std::move(look).error();
    }
    if (Status status = note(printer_.print(look->snapshots)); !status || ending_) {
      return status;
    }
    if (schedule_.due() <= std::chrono::steady_clock::now()) {
      schedule_.taken(std::chrono::steady_clock::now());
    }
    if (!stop && !look->server_ended && !schedule_.finished()) {
      return Ok{};
    }
    if (Status status = note(printer_.finish()); !status) {
      return status;
    }
    ending_ = look->server_ended && !stop ? Ending::kServerEnded : Ending::kDone;
    return Ok{};
  }

  // A reader that has gone is an ending.
  Status note(Result<Written> written) {
    if (!written) {
      return std::move(written).error();
    }
    if (*written == Written::kReaderGone) {
      ending_ = Ending::kDone;
    }
    return Ok{};
  }

  const Followed& followed_;
  const Signals& signals_;
  Printer& printer_;
  const std::function<void(const Error&)>& warn_;
  Schedule schedule_;
  std::optional<Ending> ending_;
};

}  // namespace

Result<Ending> run_loop(const Followed& followed, const Signals& signals, const Plan& plan, Printer& printer,
                        const std::function<void(const Error&)>& warn) {
  return Loop(followed, signals, plan, printer, warn).run();
}

}  // namespace monitor
