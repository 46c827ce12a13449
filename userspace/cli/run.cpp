// SPDX-License-Identifier: Apache-2.0
#include "cli/run.h"

#include <fcntl.h>
#include <unistd.h>

#include <cstdlib>
#include <exception>
#include <memory>
#include <string>
#include <type_traits>
#include <variant>
#include <vector>

#include "base/open_files.h"
#include "base/output_file.h"
#include "cli/attach.h"
#include "cli/detach.h"
#include "cli/list.h"
#include "cli/options.h"
#include "cli/serve.h"
#include "cli/sessions.h"
#include "cli/view.h"
#include "host/pid_namespace.h"
#include "routes/read_routes.h"
#include "sinks/reporter.h"
#include "tui/appearance.h"

namespace monitor {
namespace {

// If a standard descriptor is closed, the next file that is opened would get its number, and output would end up in
// that file. Opens /dev/null in its place, in the mode in which using it fails.
void occupy_standard_descriptors() {
  for (const int fd : {STDIN_FILENO, STDOUT_FILENO, STDERR_FILENO}) {
    if (::fcntl(fd, F_GETFD) < 0) {
      static_cast<void>(::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY));
    }
  }
}

Result<int> print(const std::string& text) {
  TRY(write_all(STDOUT_FILENO, text, "standard output"));
  return 0;
}

// Reads the files that the options of a command name.
struct ReadFiles {
  Status operator()(ObserveOptions& options) const {
    if (!options.routes_file.empty()) {
      options.engine.routes = std::make_shared<const RouteTable>(TRY(read_routes(options.routes_file)));
    }
    return Ok{};
  }
  template <typename Options>
  Status operator()(Options& options) const {
    if constexpr (std::is_base_of_v<ObserveOptions, Options>) {
      return (*this)(static_cast<ObserveOptions&>(options));
    } else {
      return Ok{};
    }
  }
};

// One function for each command: returns the exit status.
struct RunCommand {
  Reporter& reporter;

  Result<int> operator()(const TextToPrint& text) const { return print(text.text); }
  Result<int> operator()(const ViewOptions& options) const { return view(options, reporter); }
  Result<int> operator()(const AttachOptions& options) const { return attach(options, reporter); }
  Result<int> operator()(const DetachOptions& options) const { return detach(options, reporter); }
  Result<int> operator()(const ServeOptions& options) const { return serve(options, reporter); }
  Result<int> operator()(const ListOptions& options) const { return print(TRY(list_servers(options, reporter))); }
  Result<int> operator()(const SessionsOptions& options) const { return print(TRY(describe_sessions(options))); }
};

Result<int> run_command_line(const std::vector<std::string>& arguments, Reporter& reporter) {
  Command command = TRY(parse_options(arguments, ::getenv));
  TRY(std::visit(ReadFiles(), command));
  if (!std::holds_alternative<TextToPrint>(command)) {
    TRY(check_pid_namespace(ProcFs()));
    TRY(raise_open_files());
  }
  return std::visit(RunCommand{reporter}, command);
}

}  // namespace

int run(int argc, char** argv) {
  occupy_standard_descriptors();
  Reporter reporter(is_utf8_locale());
  try {
    Result<int> status = run_command_line({argv + (argc > 0 ? 1 : 0), argv + argc}, reporter);
    if (status) {
      return *status;
    }
    reporter.report(status.error());
    return static_cast<int>(status.error().code);
  } catch (const std::exception& error) {
    // Out of memory, most likely. Destructors have put the terminal back by now.
    reporter.report(Error{ErrorCode::kFailed, error.what()});
    return static_cast<int>(ErrorCode::kFailed);
  }
}

}  // namespace monitor
