// SPDX-License-Identifier: Apache-2.0
// Puts the parts together: options, signals, servers, engine, output, loop; and turns what became of it into an exit
// status.
#include "cli/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <variant>
#include <vector>

#include "cli/appearance.h"
#include "cli/attach.h"
#include "cli/fleet.h"
#include "cli/loop.h"
#include "cli/options.h"
#include "cli/printer.h"
#include "cli/privileges.h"
#include "cli/report.h"
#include "cli/serve.h"
#include "cli/signals.h"
#include "cli/statsd_printer.h"
#include "host/pid_namespace.h"

namespace monitor {
namespace {

struct Appearance {
  BoxStyle style;
  bool screen = false;  // redraw in place
};

Appearance choose_appearance(const ViewOptions& options, const Environment& environment, bool utf8) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  Appearance appearance;
  appearance.style = {use_color(options.color, terminal, environment), utf8};
  appearance.screen = options.mode == Mode::kWatch && options.format == Format::kBox &&
                      is_smart_terminal(terminal, environment) && in_foreground(STDOUT_FILENO);
  return appearance;
}

// A descriptor below 3 that is closed would be given to the next file that is opened, and what is meant for standard
// output would end up there. /dev/null takes its place, opened so that using it fails.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) {
      static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
    }
  }
}

Result<std::unique_ptr<Printer>> make_printer(const ViewOptions& options, const Appearance& appearance,
                                              const Fleet::Say& say) {
  if (options.mode == Mode::kSend) {
    Result<StatsdPrinter> statsd = StatsdPrinter::open(options.statsd, options.dogstatsd, say);
    if (!statsd) {
      return std::move(statsd).error();
    }
    return std::unique_ptr<Printer>(std::make_unique<StatsdPrinter>(*std::move(statsd)));
  }
  if (options.mode == Mode::kLog) {
    Result<LogFile> file = LogFile::open(options.log_file);
    if (!file) {
      return std::move(file).error();
    }
    return std::unique_ptr<Printer>(std::make_unique<LogPrinter>(*std::move(file)));
  }
  if (appearance.screen) {
    return std::unique_ptr<Printer>(std::make_unique<ScreenPrinter>(appearance.style));
  }
  return std::unique_ptr<Printer>(
      std::make_unique<StreamPrinter>(options.format, appearance.style, options.csv_header));
}

// One sample of what was counted before we came needs no time to become meaningful.
Plan make_plan(const ViewOptions& options, bool counted_before) {
  const bool once = options.mode == Mode::kOnce;
  const bool at_once = !once || (counted_before && !options.interval_given);
  Plan plan{options.interval_seconds, at_once, options.count, options.duration_seconds};
  if (once) {
    plan.count = 1;
  }
  return plan;
}

// Exit status of a run whose command line was right.
Result<int> view(const ViewOptions& options, bool utf8) {
  const Appearance appearance = choose_appearance(options, ::getenv, utf8);
  const bool logs = options.mode == Mode::kLog;
  Result<Signals> signals = Signals::block({logs, appearance.screen});
  if (!signals) {
    return std::move(signals).error();
  }
  bool on_screen = false;
  std::vector<Error> held_back;  // what would be drawn over
  const Fleet::Say say = [&](const Error& error) { on_screen ? held_back.push_back(error) : report(error, utf8); };
  Result<Fleet> fleet = Fleet::begin(options, say);
  if (!fleet) {
    return std::move(fleet).error();
  }
  Result<std::unique_ptr<Printer>> printer = make_printer(options, appearance, say);
  if (!printer) {
    return std::move(printer).error();
  }
  if (Status status = drop_privileges({logs, options.servers.all, fleet->reads_others_pins()});
      !status && options.engine.verbose) {
    report(status.error(), utf8);
  }
  on_screen = appearance.screen;
  ::malloc_trim(0);  // loading took several times the memory that watching takes
  const Followed followed{[&fleet] { return fleet->look(); }, [&fleet] { return fleet->ended_fds(); }};
  Result<Ending> ending = run_loop(followed, *signals, make_plan(options, fleet->is_attached()), **printer, say);
  printer->reset();  // the terminal is itself again before anything else is said
  for (const Error& error : held_back) {
    report(error, utf8);
  }
  for (const pid_t pid : fleet->ended()) {
    report(fmt::format("the server (pid {}) has ended", pid), utf8);
  }
  if (!ending) {
    return std::move(ending).error();
  }
  return *ending == Ending::kServerEnded ? static_cast<int>(ErrorCode::kNoTarget) : 0;
}

Result<int> print(const std::string& text) {
  Result<Written> written = write_all(STDOUT_FILENO, text, "standard output");
  return written ? Result<int>(0) : Result<int>(std::move(written).error());
}

Result<int> run_command_line(const std::vector<std::string>& arguments, bool utf8) {
  Result<Command> command = parse_options(arguments, ::getenv);
  if (!command) {
    return std::move(command).error();
  }
  if (const auto* text = std::get_if<TextToPrint>(&*command)) {
    return print(text->text);
  }
  if (Status status = check_pid_namespace(ProcFs()); !status) {
    return std::move(status).error();
  }
  if (const auto* options = std::get_if<ViewOptions>(&*command)) {
    return view(*options, utf8);
  }
  if (const auto* options = std::get_if<AttachOptions>(&*command)) {
    return attach(*options, utf8);
  }
  if (const auto* options = std::get_if<DetachOptions>(&*command)) {
    return detach(*options, utf8);
  }
  if (const auto* options = std::get_if<ServeOptions>(&*command)) {
    return serve(*options, utf8);
  }
  Result<std::string> text = describe_sessions(std::get<SessionsOptions>(*command));
  return text ? print(*text) : std::move(text).error();
}

}  // namespace

int run(int argc, char** argv) {
  occupy_standard_descriptors();
  const bool utf8 = is_utf8_locale();
  try {
    Result<int> status = run_command_line({argv + (argc > 0 ? 1 : 0), argv + argc}, utf8);
    if (status) {
      return *status;
    }
    report(status.error(), utf8);
    return static_cast<int>(status.error().code);
  } catch (const std::exception& error) {
    // Out of memory, most likely. What was changed on the terminal has been put back on the way here.
    report(Error{ErrorCode::kFailed, error.what(), ""}, utf8);
    return static_cast<int>(ErrorCode::kFailed);
  }
}

}  // namespace monitor
