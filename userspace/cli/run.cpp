// SPDX-License-Identifier: Apache-2.0
// Puts the parts together: options, signals, server, engine, output, loop; and turns what became of it into an exit
// status.
#include "cli/run.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <malloc.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <exception>
#include <memory>
#include <variant>

#include "cli/appearance.h"
#include "cli/loop.h"
#include "cli/observe.h"
#include "cli/options.h"
#include "cli/printer.h"
#include "cli/privileges.h"
#include "cli/report.h"
#include "cli/signals.h"
#include "host/find_server.h"

namespace monitor {
namespace {

struct Appearance {
  BoxStyle style;
  bool screen = false;  // redraw in place
};

Appearance choose_appearance(const Options& options, const Environment& environment, bool utf8) {
  const bool terminal = ::isatty(STDOUT_FILENO) != 0;
  Appearance appearance;
  appearance.style = {use_color(options.color, terminal, environment), utf8};
  appearance.screen = options.mode == Mode::kWatch && !options.json && is_smart_terminal(terminal, environment) &&
                      in_foreground(STDOUT_FILENO);
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

EngineOptions engine_options(const Options& options) {
  EngineOptions engine;
  engine.raw_paths = options.raw_paths;
  engine.verbose = options.verbose;
  engine.profile = options.profile;
  return engine;
}

// Whether the failure may come from what only a process with more rights can see.
bool may_be_hidden(const ServerRequest& request, const Error& error) {
  if (can_look_into_processes() || error.code != ErrorCode::kNoTarget) {
    return error.code == ErrorCode::kNotPermitted;
  }
  if (request.pid) {
    return ::kill(*request.pid, 0) == 0 || errno == EPERM;
  }
  return !request.pid_file || ::access(request.pid_file->c_str(), R_OK) == 0;
}

// Finds the server. To whoever may not look into other users' processes they seem to listen nowhere: then what is
// missing are capabilities, and the engine can name all of them.
Result<Server> locate(const Options& options) {
  Result<Server> server = resolve_server(ProcFs(), options.server);
  if (server || !may_be_hidden(options.server, server.error())) {
    return server;
  }
  Result<Engine> engine = Engine::load(engine_options(options));
  if (!engine && engine.error().code == ErrorCode::kNotPermitted) {
    return std::move(engine).error();
  }
  return server;
}

Result<std::unique_ptr<Printer>> make_printer(const Options& options, const Appearance& appearance) {
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
  return std::unique_ptr<Printer>(std::make_unique<StreamPrinter>(options.json, appearance.style));
}

Plan make_plan(const Options& options) {
  Plan plan{options.interval_seconds, options.mode != Mode::kOnce, options.count, options.duration_seconds};
  if (options.mode == Mode::kOnce) {
    plan.count = 1;
  }
  return plan;
}

Result<Observation> attach(const Options& options, const Server& server, bool utf8) {
  const auto start = std::chrono::steady_clock::now();
  Result<Observation> observation = Observation::begin(server, engine_options(options));
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  if (!observation || !options.verbose) {
    return observation;
  }
  report(fmt::format("following pid {}: {}", server.pid, server.command), utf8);
  for (const std::string& address : server.listen) {
    report(fmt::format("it listens on {}", address), utf8);
  }
  report(fmt::format("loaded and attached in {:.0f} ms, profile {}", took.count(), observation->profile()), utf8);
  return observation;
}

// Exit status of a run whose command line was right.
Result<int> observe(const Options& options, bool utf8) {
  const Appearance appearance = choose_appearance(options, ::getenv, utf8);
  Result<Signals> signals = Signals::block({options.mode == Mode::kLog, appearance.screen});
  if (!signals) {
    return std::move(signals).error();
  }
  Result<Server> server = locate(options);
  if (!server) {
    return std::move(server).error();
  }
  Result<std::unique_ptr<Printer>> printer = make_printer(options, appearance);
  if (!printer) {
    return std::move(printer).error();
  }
  Result<Observation> observation = attach(options, *server, utf8);
  if (!observation) {
    return std::move(observation).error();
  }
  if (Status status = drop_privileges(options.mode == Mode::kLog); !status && options.verbose) {
    report(status.error(), utf8);
  }
  ::malloc_trim(0);  // loading took several times the memory that watching takes
  const Followed followed{[&observation] { return observation->look(); }, observation->ended_fd()};
  Result<Ending> ending =
      run_loop(followed, *signals, make_plan(options), **printer, [utf8](const Error& error) { report(error, utf8); });
  printer->reset();  // the terminal is itself again before anything else is said
  if (!ending) {
    return std::move(ending).error();
  }
  if (*ending == Ending::kServerEnded) {
    report(fmt::format("the server (pid {}) has ended", observation->pid()), utf8);
    return static_cast<int>(ErrorCode::kNoTarget);
  }
  return 0;
}

Result<int> run_command_line(const std::vector<std::string>& arguments, bool utf8) {
  Result<std::variant<Options, TextToPrint>> parsed = parse_options(arguments, ::getenv);
  if (!parsed) {
    return std::move(parsed).error();
  }
  if (const TextToPrint* text = std::get_if<TextToPrint>(&*parsed)) {
    Result<Written> written = write_all(STDOUT_FILENO, text->text, "standard output");
    return written ? Result<int>(0) : Result<int>(std::move(written).error());
  }
  return observe(std::get<Options>(*parsed), utf8);
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
