// SPDX-License-Identifier: Apache-2.0
#include "host/keep_alive.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <iterator>
#include <optional>
#include <sstream>

#include "host/seen_files.h"

namespace monitor {
namespace {

// When a server closes idle connections, and what changes that.
struct IdleTimeout {
  std::string_view server;       // as a command line or an import names it
  double seconds;                // by default
  double unit;                   // of the values that follow, in seconds
  std::string_view option;       // of the command line
  std::string_view variable;     // of the environment, for the command
  std::string_view setting;      // the name of the value in a program or a file of settings
  std::string_view config;       // the option that names such a file, in the long form
  std::string_view config_file;  // the one that is read without that option
};
// Where the defaults are set: uvicorn, config.py, Config.timeout_keep_alive; gunicorn, config.py, Keepalive, also for
// the workers of uvicorn; hypercorn, config.py, Config.keep_alive_timeout; granian, http.py, HTTP1Settings, whose time
// for a head begins with the end of the request before; twisted, web/http.py, _REQUEST_TIMEOUT, which daphne keeps;
// sanic, config.py, KEEP_ALIVE_TIMEOUT (5 s before its release 23.6).
constexpr std::array kTimeouts = {
    IdleTimeout{"uvicorn", 5, 1, "--timeout-keep-alive", "UVICORN_TIMEOUT_KEEP_ALIVE", "timeout_keep_alive", "", ""},
    IdleTimeout{"gunicorn", 2, 1, "--keep-alive", "", "keepalive", "--config", "gunicorn.conf.py"},
    IdleTimeout{"hypercorn", 5, 1, "--keep-alive", "", "keep_alive_timeout", "--config", ""},
    IdleTimeout{"granian", 30, 0.001, "--http1-header-read-timeout", "GRANIAN_HTTP1_HEADER_READ_TIMEOUT",
                "header_read_timeout", "", ""},
    IdleTimeout{"daphne", 60, 1, "", "", "", "", ""},
    IdleTimeout{"sanic", 120, 1, "", "SANIC_KEEP_ALIVE_TIMEOUT", "KEEP_ALIVE_TIMEOUT", "", ""},
};

// What runs one of these servers with its defaults.
struct RunsServer {
  std::string_view name;
  std::string_view server;
};
constexpr std::array kRunsServer = {
    RunsServer{"gradio", "uvicorn"},
    RunsServer{"httptools", "uvicorn"},  // the compiled module
    RunsServer{"quart", "hypercorn"},
};

constexpr double kMostSeconds = 86400;

const IdleTimeout* find_timeout(std::string_view server) {
  const auto* const runs = std::find_if(kRunsServer.begin(), kRunsServer.end(),
                                        [server](const RunsServer& row) { return row.name == server; });
  if (runs != kRunsServer.end()) {
    server = runs->server;
  }
  const auto* const found = std::find_if(kTimeouts.begin(), kTimeouts.end(),
                                         [server](const IdleTimeout& row) { return row.server == server; });
  return found == kTimeouts.end() ? nullptr : found;
}

// The number that the text begins with; nullopt if it begins with none, or if it goes on as an expression.
std::optional<double> leading_number(std::string_view text) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  const auto used = static_cast<std::size_t>(end - text.data());
  const std::size_t next = text.find_first_not_of(" \t", used);
  const bool ends =
      next == std::string_view::npos || std::string_view("\r\n,;)}]#").find(text[next]) != std::string_view::npos;
  return error == std::errc() && ends ? std::optional(number) : std::nullopt;
}

// The value of the setting in a program or in a file of settings: `keepalive = 5`, `keepalive: 5`, `"keepalive": 5`.
// nullopt if the text does not have the setting; 0 if its value is not a number.
std::optional<double> setting_of(std::string_view text, std::string_view name) {
  std::optional<double> found;
  for (std::size_t at = name.empty() ? std::string_view::npos : text.find(name); at != std::string_view::npos;
       at = text.find(name, at + 1)) {
    std::string_view rest = text.substr(at + name.size());
    const auto is_name_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; };
    if ((at > 0 && is_name_part(text[at - 1])) || (!rest.empty() && is_name_part(rest.front()))) {
      continue;
    }
    rest.remove_prefix(std::min(rest.find_first_not_of("\"'] \t"), rest.size()));
    if (!rest.empty() && (rest.front() == '=' || rest.front() == ':') && !rest.starts_with("==")) {
      rest.remove_prefix(1);
      rest.remove_prefix(std::min(rest.find_first_not_of(" \t"), rest.size()));
      found = leading_number(rest).value_or(0);
    }
  }
  return found;
}

// The value of the option, the last one if there are several; 0 if it is not a number.
std::optional<double> option_of(const std::vector<std::string>& arguments, std::string_view name) {
  std::optional<double> found;
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const std::string_view value = option_value(arguments, i, name);
    if (value.data() != nullptr) {
      found = leading_number(value).value_or(0);
    }
  }
  return found;
}

std::vector<std::string> words_of(const std::string& text) {
  std::istringstream stream(text);
  return {std::istream_iterator<std::string>(stream), {}};
}

// The value in the file of settings that the command line names, or that the server reads otherwise.
std::optional<double> configured(const ProcFs& proc, pid_t pid, const IdleTimeout& row,
                                 const std::vector<std::string>& arguments) {
  std::string path(row.config_file);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    for (const std::string_view name : {row.config, row.config.substr(row.config.empty() ? 0 : 1, 2)}) {
      const std::string_view value = option_value(arguments, i, name);
      path = value.data() != nullptr ? value : path;
    }
  }
  constexpr std::string_view kModule = "python:";
  constexpr std::string_view kFile = "file:";
  if (path.starts_with(kModule)) {
    return 0;  // a module, wherever it is
  }
  path.erase(0, path.starts_with(kFile) ? kFile.size() : 0);
  const auto text = path.empty() ? std::nullopt : read_regular(seen_by(proc, pid, path));
  return text ? setting_of(*text, row.setting) : std::nullopt;
}

double in_seconds(const IdleTimeout& row, std::optional<double> value) {
  const double seconds = value ? *value * row.unit : row.seconds;
  return seconds > 0 && seconds <= kMostSeconds ? seconds : 0;
}

}  // namespace

std::string_view option_value(const std::vector<std::string>& arguments, std::size_t i, std::string_view name) {
  const std::string_view argument = arguments[i];
  if (name.empty() || !argument.starts_with(name)) {
    return {};
  }
  const std::string_view rest = argument.substr(name.size());
  if (rest.empty()) {
    return i + 1 < arguments.size() ? std::string_view(arguments[i + 1]) : std::string_view();
  }
  if (rest.starts_with('=')) {
    return rest.substr(1);
  }
  return name.starts_with("--") ? std::string_view() : rest;  // -b0.0.0.0:80
}

double idle_timeout(std::string_view server, const std::vector<std::string>& arguments, std::string_view sources) {
  const IdleTimeout* const row = find_timeout(server);
  if (row == nullptr) {
    return 0;
  }
  std::optional<double> value = option_of(arguments, row->option);
  return in_seconds(*row, value ? value : setting_of(sources, row->setting));
}

double idle_timeout(const ProcFs& proc, pid_t pid, std::string_view server, std::string_view sources) {
  const std::vector<std::string> arguments = proc.arguments(pid);
  const IdleTimeout* const row = find_timeout(server);
  if (row == nullptr || !sources.empty() || option_of(arguments, row->option)) {
    return idle_timeout(server, arguments, sources);
  }
  // the command reads its environment and a file of settings
  std::optional<double> value;
  if (const std::string set = started_with(proc, pid, row->variable); !row->variable.empty() && !set.empty()) {
    value = leading_number(set).value_or(0);
  }
  std::vector<std::string> more = words_of(started_with(proc, pid, "GUNICORN_CMD_ARGS"));
  if (row->server != "gunicorn") {
    more.clear();
  }
  if (!value) {
    value = option_of(more, row->option);
  }
  if (!value) {
    more.insert(more.end(), arguments.begin(), arguments.end());
    value = configured(proc, pid, *row, more);
  }
  return in_seconds(*row, value);
}

}  // namespace monitor
