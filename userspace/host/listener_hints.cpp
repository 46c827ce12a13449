// SPDX-License-Identifier: Apache-2.0
#include "host/listener_hints.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <string_view>

#include "host/command_line.h"
#include "host/keep_alive.h"
#include "host/program_reader.h"

namespace monitor {
namespace {

// The options of a server, each the value of the same argument (--port=80) or of the next one.
struct ServerOptions {
  std::string_view server;                  // CommandLine::server; empty: any other program
  std::array<std::string_view, 2> port;     // a port alone
  std::array<std::string_view, 2> address;  // "HOST:PORT", "unix:PATH"
  std::string_view unix_path;
  bool serves_8000;  // without an option for an address
};
constexpr std::array kServerOptions = {
    ServerOptions{"uvicorn", {"--port", ""}, {"", ""}, "--uds", true},
    ServerOptions{"gunicorn", {"", ""}, {"--bind", "-b"}, "", true},
    ServerOptions{"hypercorn", {"", ""}, {"--bind", "-b"}, "", true},
    ServerOptions{"granian", {"--port", ""}, {"", ""}, "--uds", true},
    ServerOptions{"daphne", {"--port", "-p"}, {"", ""}, "-u", true},
    ServerOptions{"", {"--port", "-p"}, {"--bind", "-b"}, "--uds", false},
};

// The server may be busy for a moment when the timeout is over.
constexpr unsigned kMarginMs = 1000;

// The value of option `name` if argument `i` is that option.
std::optional<std::string_view> value_of(const std::vector<std::string>& arguments, std::size_t i,
                                         std::string_view name) {
  const std::string_view value = option_value(arguments, i, name);
  return value.data() == nullptr ? std::nullopt : std::optional(value);
}

template <typename Number>
std::optional<Number> parse(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

class Reader {
 public:
  Reader(const std::vector<std::string>& arguments, const ServerOptions& options, ListenerHints& hints)
      : arguments_(arguments), options_(options), hints_(hints) {}

  void read() {
    for (std::size_t i = 0; i < arguments_.size(); ++i) {
      for (const std::string_view name : options_.port) {
        add_port(value_of(arguments_, i, name));
      }
      for (const std::string_view name : options_.address) {
        add_address(value_of(arguments_, i, name));
      }
      if (const auto path = value_of(arguments_, i, options_.unix_path)) {
        add_unix(*path);
      }
    }
    if (hints_.ports.empty() && hints_.unix_paths.empty() && options_.serves_8000) {
      hints_.ports.push_back(8000);
    }
  }

 private:
  void add_port(std::optional<std::string_view> value) {
    if (const auto port = value ? parse<std::uint16_t>(*value) : std::nullopt; port && *port != 0) {
      hints_.ports.push_back(*port);
    }
  }

  void add_unix(std::string_view path) { hints_.unix_paths.emplace_back(path); }

  void add_address(std::optional<std::string_view> value) {
    if (!value) {
      return;
    }
    if (value->starts_with("unix:") || value->starts_with('/')) {
      add_unix(value->starts_with("unix:") ? value->substr(std::string_view("unix:").size()) : *value);
    } else if (const std::size_t colon = value->rfind(':'); colon != std::string_view::npos) {
      add_port(value->substr(colon + 1));
    }
  }

  const std::vector<std::string>& arguments_;
  const ServerOptions& options_;
  ListenerHints& hints_;
};

unsigned milliseconds(double keep_alive) {
  return keep_alive > 0 ? static_cast<unsigned>(std::lround(keep_alive * 1000)) + kMarginMs : 0;
}

}  // namespace

ListenerHints read_listener_hints(pid_t root, const std::vector<std::string>& arguments) {
  ListenerHints hints;
  hints.root = root;
  std::copy_if(arguments.begin(), arguments.end(), std::back_inserter(hints.paths),
               [](const std::string& argument) { return argument.starts_with('/'); });
  const std::string server = server_program(arguments);
  const auto* options = std::find_if(kServerOptions.begin(), kServerOptions.end(),
                                     [&server](const ServerOptions& row) { return row.server == server; });
  if (options == kServerOptions.end()) {
    options = kServerOptions.end() - 1;
  }
  Reader(arguments, *options, hints).read();
  hints.http = !server.empty();
  hints.keep_alive_ms = milliseconds(idle_timeout(server, arguments));
  return hints;
}

ListenerHints listener_hints(const ProcFs& proc, pid_t root) {
  // The root can be a shell, or another program that runs the server.
  constexpr std::size_t kMostProcesses = 8;
  ListenerHints hints = read_listener_hints(root, proc.arguments(root));
  std::vector<pid_t> tree = proc.tree(root);
  tree.resize(std::min(tree.size(), kMostProcesses));
  // A worker that multiprocessing started runs a function of its parent's program.
  const Result<ProcessSample> process = proc.process(root);
  if (process && read_command_line(proc, root).code.starts_with("from multiprocessing.")) {
    tree.push_back(process->parent);
  }
  hints.http = false;
  for (auto pid = tree.begin(); pid != tree.end() && !hints.http; ++pid) {
    const CommandLine line = read_command_line(proc, *pid);
    ProgramServer program{line.server, ""};
    if (program.server.empty()) {
      program = read_program(proc, *pid, line);
    }
    double seconds = idle_timeout(proc, *pid, program.server, program.sources);
    if (program.server.empty()) {
      program.server = mapped_server(proc, *pid);
      seconds = idle_timeout(proc, *pid, program.server, program.sources);
    }
    hints.http = !program.server.empty();
    hints.keep_alive_ms = milliseconds(seconds);
  }
  return hints;
}

}  // namespace monitor
