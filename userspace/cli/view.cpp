// SPDX-License-Identifier: Apache-2.0
#include "cli/view.h"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>
#include <memory>
#include <utility>

#include "base/event_loop.h"
#include "base/signals.h"
#include "cli/fleet_setup.h"
#include "cli/view_loop.h"
#include "sinks/log_sink.h"
#include "sinks/statsd_sink.h"
#include "sinks/stream_sink.h"
#include "tui/appearance.h"
#include "tui/screen_sink.h"
#include "tui/teletype_sink.h"

namespace monitor {
namespace {

struct Appearance {
  BoxStyle style;
  bool screen = false;  // redraw in place
  bool keys = false;    // one below another on a terminal that cannot do that, where q quits too
};

Appearance choose_appearance(const ViewOptions& options, const Environment& environment, bool utf8) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  Appearance appearance;
  appearance.style = {use_color(options.color, terminal, environment), utf8, options.latency};
  if (options.mode == Mode::kWatch && options.format == Format::kBox && terminal && in_foreground(STDOUT_FILENO)) {
    appearance.screen = is_smart_terminal(terminal, environment);
    appearance.keys = !appearance.screen;
  }
  return appearance;
}

Result<std::unique_ptr<Sink>> make_sink(const ViewOptions& options, const Appearance& appearance, const Warn& warn) {
  std::unique_ptr<Sink> sink;
  if (options.mode == Mode::kSend) {
    sink = std::make_unique<StatsdSink>(TRY(StatsdSink::open(options.statsd, options.dogstatsd, warn)));
  } else if (options.mode == Mode::kLog) {
    sink = std::make_unique<LogSink>(TRY(LogFile::open(options.log_file)), options.latency);
  } else if (appearance.screen) {
    sink = std::make_unique<ScreenSink>(appearance.style);
  } else {
    StreamStyle style{appearance.style, options.csv_header, options.engine.version, options.max_scrape};
    sink = appearance.keys ? std::make_unique<TeletypeSink>(std::move(style))
                           : std::make_unique<StreamSink>(options.format, std::move(style));
  }
  return sink;
}

// A single sample is meaningful at once if the engine was attached before; else it needs an interval.
Plan make_plan(const ViewOptions& options, bool counted_before) {
  const bool once = options.mode == Mode::kOnce;
  const bool at_once = !once || (counted_before && !options.interval_given);
  Plan plan{options.interval_seconds, at_once, options.count, options.duration_seconds};
  if (once) {
    plan.count = 1;
  }
  return plan;
}

// Runs until the end, and restores the terminal, so that messages can follow.
Result<Ending> observe(const ViewOptions& options, const Appearance& appearance, Fleet& fleet, const Signals& signals,
                       Reporter& reporter) {
  const Warn warn = [&reporter](const Error& error) { reporter.report(error); };
  const std::unique_ptr<Sink> sink = TRY(make_sink(options, appearance, warn));
  if (options.mode != Mode::kOnce) {
    TRY(fleet.watch());
  }
  settle(fleet, options, options.mode == Mode::kLog, reporter);
  if (appearance.screen) {
    reporter.hold();
  }
  EventLoop events;
  const EventLoop::Watch checks = watch_between_samples(events, fleet);
  // The one sample of several servers is taken when it is due, though one of them ends before.
  const bool waits = options.mode == Mode::kOnce && (options.servers.all || options.servers.pids.size() > 1);
  const auto ended_fds = [&fleet, waits] { return waits ? std::vector<int>() : fleet.ended_fds(); };
  const Observed observed{[&fleet] { return fleet.sample(); }, ended_fds};
  return run_view_loop(events, observed, signals, make_plan(options, fleet.is_attached()), *sink, warn);
}

}  // namespace

Result<int> view(const ViewOptions& options, Reporter& reporter) {
  const Appearance appearance = choose_appearance(options, ::getenv, reporter.utf8());
  const Signals signals = TRY(
      Signals::block({.hangup_reopens = options.mode == Mode::kLog, .terminal = appearance.screen || appearance.keys}));
  Fleet fleet = TRY(Fleet::begin(options, notices(options, reporter)));
  if (options.format != Format::kBox || options.mode == Mode::kLog || options.mode == Mode::kSend) {
    report_doubt(fleet, reporter);
  }
  Result<Ending> ending = observe(options, appearance, fleet, signals, reporter);
  reporter.release();
  for (const pid_t pid : fleet.ended()) {
    report_ended(pid, reporter);
  }
  return TRY(std::move(ending)) == Ending::kServerEnded ? static_cast<int>(ErrorCode::kNoTarget) : 0;
}

}  // namespace monitor
