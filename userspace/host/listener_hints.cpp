// SPDX-License-Identifier: Apache-2.0
#include "host/listener_hints.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <iterator>
#include <optional>
#include <span>
#include <string_view>

#include "host/command_line.h"

namespace monitor {
namespace {

// The options of a server, each the value of the same argument (--port=80) or of the next one.
struct ServerOptions {
  std::string_view server;                  // CommandLine::server; empty: any other program
  std::array<std::string_view, 2> port;     // a port alone
  std::array<std::string_view, 2> address;  // "HOST:PORT", "unix:PATH"
  std::string_view unix_path;
  std::string_view keep_alive;  // seconds
  double keep_alive_seconds;    // without the option; 0: it never closes idle connections, or that is unknown
  bool serves_8000;             // without an option for an address
};
constexpr std::array kServerOptions = {
    ServerOptions{"uvicorn", {"--port", ""}, {"", ""}, "--uds", "--timeout-keep-alive", 5, true},
    ServerOptions{"gunicorn", {"", ""}, {"--bind", "-b"}, "", "--keep-alive", 2, true},
    ServerOptions{"hypercorn", {"", ""}, {"--bind", "-b"}, "", "--keep-alive", 5, true},
    ServerOptions{"granian", {"--port", ""}, {"", ""}, "--uds", "", 0, true},
    ServerOptions{"daphne", {"--port", "-p"}, {"", ""}, "-u", "", 0, true},
    ServerOptions{"", {"--port", "-p"}, {"--bind", "-b"}, "--uds", "", 0, false},
};

// The server may be busy for a moment when the timeout is over.
constexpr unsigned kMarginMs = 1000;

// The value of option `name` if argument `i` is that option.
std::optional<std::string_view> value_of(std::span<const std::string> arguments, std::size_t i, std::string_view name) {
  const std::string_view argument = arguments[i];
  if (name.empty() || !argument.starts_with(name)) {
    return std::nullopt;
  }
  const std::string_view rest = argument.substr(name.size());
  if (rest.empty()) {
    return i + 1 < arguments.size() ? std::optional<std::string_view>(arguments[i + 1]) : std::nullopt;
  }
  if (rest.starts_with('=')) {
    return rest.substr(1);
  }
  return name.starts_with("--") ? std::nullopt : std::optional(rest);  // -b0.0.0.0:80
}

template <typename Number>
std::optional<Number> parse(std::string_view text) {
  Number number{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  return error == std::errc() && end == text.data() + text.size() ? std::optional(number) : std::nullopt;
}

class Reader {
 public:
  Reader(std::span<const std::string> arguments, const ServerOptions& options, ListenerHints& hints)
      : arguments_(arguments), options_(options), hints_(hints) {}

  void read() {
    double keep_alive = options_.keep_alive_seconds;
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
      if (const auto value = value_of(arguments_, i, options_.keep_alive)) {
        keep_alive = parse<double>(*value).value_or(0);
      }
    }
    if (hints_.ports.empty() && hints_.unix_paths.empty() && options_.serves_8000) {
      hints_.ports.push_back(8000);
    }
    constexpr double kMostSeconds = 86400;
    if (keep_alive > 0 && keep_alive <= kMostSeconds) {
      hints_.keep_alive_ms = static_cast<unsigned>(std::lround(keep_alive * 1000)) + kMarginMs;
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

  std::span<const std::string> arguments_;
  const ServerOptions& options_;
  ListenerHints& hints_;
};

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
  return hints;
}

ListenerHints listener_hints(const ProcFs& proc, pid_t root) {
  return read_listener_hints(root, proc.arguments(root));
}

}  // namespace monitor
