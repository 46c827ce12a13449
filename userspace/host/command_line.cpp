// SPDX-License-Identifier: Apache-2.0
// Parses a Python command line as the interpreter does (Python/getopt.c, SHORT_OPTS) to find the script or module that
// it runs.
#include "host/command_line.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <optional>
#include <span>
#include <utility>

namespace monitor {
namespace {

using Arguments = std::span<const std::string>;

// A program that serves HTTP, by its name. With `commands` (two at most), only if one of its arguments is one of them.
struct ServerName {
  std::string_view name;
  std::string_view server;
  std::array<std::string_view, 2> commands = {};
};
constexpr std::array kServers = {
    ServerName{"uvicorn", "uvicorn"},
    ServerName{"gunicorn", "gunicorn"},
    ServerName{"hypercorn", "hypercorn"},
    ServerName{"granian", "granian"},
    ServerName{"daphne", "daphne"},
    ServerName{"waitress-serve", "waitress"},
    ServerName{"waitress", "waitress"},
    ServerName{"uwsgi", "uwsgi"},
    ServerName{"pserve", "waitress"},
    ServerName{"cheroot", "cheroot"},
    ServerName{"cherryd", "cheroot"},
    ServerName{"sanic", "sanic"},
    ServerName{"twistd", "twisted", {"web", ""}},
    ServerName{"twist", "twisted", {"web", ""}},
    ServerName{"bokeh", "tornado", {"serve", ""}},
    ServerName{"panel", "tornado", {"serve", ""}},
    ServerName{"fastapi", "uvicorn", {"run", "dev"}},
    ServerName{"litestar", "uvicorn", {"run", ""}},
    ServerName{"quart", "hypercorn", {"run", ""}},
    ServerName{"flask", "werkzeug", {"run", ""}},
    ServerName{"streamlit", "streamlit", {"run", ""}},
    ServerName{"manage.py", "django", {"runserver", "runserver_plus"}},
    ServerName{"django-admin", "django", {"runserver", "runserver_plus"}},
    ServerName{"django", "django", {"runserver", "runserver_plus"}},
};

// Programs that run another one in the same process: `debugpy --listen 5678 -m uvicorn app:app`.
constexpr std::array<std::string_view, 17> kRunners = {
    "debugpy",      "coverage", "coverage3", "cProfile", "profile",   "pdb",     "trace",     "viztracer",    "scalene",
    "pyinstrument", "memray",   "kernprof",  "jurigged", "reloadium", "logfire", "pydevd.py", "line_profiler"};

bool is_runner(std::string_view name) {
  return name.starts_with("coverage-3") || std::find(kRunners.begin(), kRunners.end(), name) != kRunners.end();
}

bool is_word(std::string_view text, std::string_view also) {
  return !text.empty() && std::isdigit(static_cast<unsigned char>(text.front())) == 0 &&
         std::all_of(text.begin(), text.end(), [also](char c) {
           return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_' ||
                  also.find(c) != std::string_view::npos;
         });
}

bool is_option(std::string_view argument) {
  return argument.starts_with("-");
}

std::string join(std::string_view first, Arguments rest) {
  std::string text(first);
  for (const std::string& argument : rest) {
    text += " " + argument;
  }
  return text;
}

// The first argument for which `is` holds, or "".
template <typename Is>
std::string first_that(Arguments arguments, Is is) {
  const auto found = std::find_if(arguments.begin(), arguments.end(), is);
  return found == arguments.end() ? "" : *found;
}

bool is_source(std::string_view argument) {
  return !is_option(argument) && argument.ends_with(".py");
}

const ServerName* find_server_name(std::string_view name) {
  const auto* const found =
      std::find_if(kServers.begin(), kServers.end(), [name](const ServerName& server) { return server.name == name; });
  return found == kServers.end() ? nullptr : found;
}

// The server that `name` starts with these arguments, or "".
std::string_view started_server(std::string_view name, Arguments rest) {
  const ServerName* const server = find_server_name(name);
  if (server == nullptr) {
    return "";
  }
  if (server->commands.front().empty()) {
    return server->server;
  }
  // Any of the arguments, because options with values can come first: flask --app shop run.
  const bool starts = std::any_of(rest.begin(), rest.end(), [server](const std::string& argument) {
    return !argument.empty() &&
           std::find(server->commands.begin(), server->commands.end(), argument) != server->commands.end();
  });
  return starts ? server->server : "";
}

std::string application_of(Arguments rest) {
  std::string application = first_that(rest, is_application);
  return application.empty() ? first_that(rest, is_source) : application;
}

// ".../uvicorn/__main__.py" is how some launchers run a package.
std::string_view script_name(std::string_view path) {
  constexpr std::string_view kMain = "/__main__.py";
  if (path.ends_with(kMain)) {
    path.remove_suffix(kMain.size());
  }
  return base_name(path);
}

// "gunicorn.app.wsgiapp" → "gunicorn".
std::string_view package_of(std::string_view module) {
  return module.substr(0, module.find('.'));
}

// `name` runs with the arguments `rest`.
void add_program(std::string_view name, Arguments rest, CommandLine& line) {
  line.program = name;
  line.shown = join(name, rest);
  line.server = started_server(name, rest);
  if (!line.server.empty()) {
    line.application = application_of(rest);
  }
}

// What a debugger or profiler runs: behind -m, or the first script.
void add_run_program(Arguments rest, CommandLine& line) {
  for (std::size_t i = 0; i < rest.size(); ++i) {
    const std::string& argument = rest[i];
    const bool module = argument == "-m" && i + 1 < rest.size();
    const std::string_view name = module ? package_of(rest[i + 1]) : script_name(argument);
    const bool script = !module && (is_source(argument) || (!is_option(argument) && find_server_name(name) != nullptr));
    if (!module && !script) {
      continue;
    }
    const Arguments after = rest.subspan(i + (module ? 2 : 1));
    line.server = started_server(name, after);
    line.application = line.server.empty() ? "" : application_of(after);
    (module ? line.module : line.script) = module ? rest[i + 1] : argument;
    (module ? line.script : line.module).clear();
    return;
  }
}

void add_python_program(std::string_view name, Arguments rest, CommandLine& line) {
  add_program(name, rest, line);
  if (is_runner(name)) {
    add_run_program(rest, line);
  }
}

// One argument of the interpreter and its effect on the following arguments.
struct PythonOption {
  enum Kind {
    kPlain,    // complete in itself
    kValue,    // the next argument is its value
    kModule,   // runs the module `text`, or the one in the next argument if `text` is empty
    kCommand,  // -c: runs the program `text`, or the one in the next argument
  };
  Kind kind = kPlain;
  std::string_view text;
};

// A cluster such as -Im or -Wignore: flags up to the first letter that takes the rest as its value.
PythonOption short_options(std::string_view letters) {
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const std::string_view rest = letters.substr(i + 1);
    switch (letters[i]) {
      case 'm':
        return {PythonOption::kModule, rest};
      case 'c':
        return {PythonOption::kCommand, rest};
      case 'W':
      case 'X':
      case 'Q':  // PyPy and Python 2 only
        return {rest.empty() ? PythonOption::kValue : PythonOption::kPlain, ""};
      default:
        break;
    }
  }
  return {};
}

PythonOption python_option(std::string_view argument) {
  if (argument == "--check-hash-based-pycs" || argument == "--jit") {
    return {PythonOption::kValue, ""};
  }
  return argument.starts_with("--") ? PythonOption{} : short_options(argument.substr(1));
}

// The program of -m, with the arguments `rest`.
void add_module(std::string_view module, Arguments rest, CommandLine& line) {
  line.module = module;
  if (module.empty()) {
    return;
  }
  const std::string_view package = package_of(module);
  const bool known = find_server_name(package) != nullptr || is_runner(package);
  add_python_program(known ? package : module, rest, line);
}

void add_script(Arguments arguments, CommandLine& line) {
  if (!arguments.empty()) {
    line.script = arguments.front();
    add_python_program(script_name(line.script), arguments.subspan(1), line);
  }
}

// Adds what -m or -c runs: `text` if it is not empty, else the first of `rest`.
void add_option_program(const PythonOption& option, Arguments rest, CommandLine& line) {
  std::string_view what = option.text;
  if (what.empty() && !rest.empty()) {
    what = rest.front();
    rest = rest.subspan(1);
  }
  if (option.kind == PythonOption::kModule) {
    add_module(what, rest, line);
  } else {
    line.code = what;
    line.program = "python -c";
    line.shown = join(line.program, rest);
  }
}

// The arguments are `python <options> <script or -m module> …`.
void read_python(Arguments arguments, CommandLine& line) {
  line.python = true;
  line.program = base_name(arguments.front());
  line.shown = join(line.program, arguments.subspan(1));
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    const std::string_view argument = arguments[i];
    if (argument == "-") {
      return;  // the program comes from standard input
    }
    if (argument == "--" || !is_option(argument)) {
      add_script(arguments.subspan(argument == "--" ? i + 1 : i), line);
      return;
    }
    const PythonOption option = python_option(argument);
    if (option.kind == PythonOption::kModule || option.kind == PythonOption::kCommand) {
      add_option_program(option, arguments.subspan(i + 1), line);
      return;
    }
    i += option.kind == PythonOption::kValue ? 1 : 0;
  }
}

// "granian asgi 127.0.0.1:8000 main:app", of a worker with "worker-1" after it. Without setproctitle its main process
// keeps its arguments.
bool read_granian_title(std::string_view title, CommandLine& line) {
  constexpr std::string_view kName = "granian ";
  constexpr std::array<std::string_view, 4> kInterfaces = {"asgi ", "asginl ", "rsgi ", "wsgi "};
  const std::string_view rest = title.substr(std::min(kName.size(), title.size()));
  const bool is_title = title.starts_with(kName) &&
                        std::any_of(kInterfaces.begin(), kInterfaces.end(),
                                    [rest](std::string_view interface) { return rest.starts_with(interface); });
  if (!is_title) {
    return false;
  }
  line.titled = true;
  line.server = line.program = "granian";
  std::string_view words = rest.substr(rest.find(' ') + 1);          // after the interface
  words.remove_prefix(std::min(words.find(' ') + 1, words.size()));  // after the address
  line.application = words.substr(0, words.find(' '));
  return true;
}

// A title set by setproctitle: "gunicorn: worker [app]", "ray::ProxyActor".
bool read_title(std::string_view title, CommandLine& line) {
  const std::size_t colon = title.find(": ");
  const ServerName* const server = colon == std::string_view::npos ? nullptr : find_server_name(title.substr(0, colon));
  if (server != nullptr && server->commands.front().empty()) {
    const std::size_t open = title.find('[');
    const std::size_t close = title.rfind(']');
    line.titled = true;
    line.server = server->server;
    line.program = server->name;
    line.application = open < close && close != std::string_view::npos ? title.substr(open + 1, close - open - 1) : "";
    return true;
  }
  if (read_granian_title(title, line)) {
    return true;
  }
  if (title.starts_with("ray::")) {
    line.titled = true;
    line.program = title.substr(0, title.find(' '));
    line.server = title.starts_with("ray::ProxyActor") || title.starts_with("ray::HTTPProxyActor") ? "ray serve" : "";
    return true;
  }
  return false;
}

}  // namespace

bool is_application(std::string_view text) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos) {
    return false;
  }
  const std::string_view module = text.substr(0, colon);
  const std::string_view attribute = text.substr(colon + 1);
  return is_word(module, ".") && is_word(attribute.substr(0, attribute.find('(')), ".") && module != "python" &&
         module != "file";
}

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

bool is_python(std::string_view path) {
  const std::string_view name = base_name(path);
  return name.starts_with("python") || name.starts_with("pypy") || name.starts_with("graalpy");
}

CommandLine read_command_line(const std::vector<std::string>& arguments) {
  CommandLine line;
  if (arguments.empty()) {
    return line;
  }
  const Arguments all(arguments);
  if (read_title(arguments.front(), line)) {
    line.shown = join(arguments.front(), all.subspan(1));
  } else if (is_python(arguments.front())) {
    read_python(all, line);
  } else {
    const std::string_view first = arguments.front();
    const std::string_view path = first.substr(0, first.find(": "));
    add_program(base_name(path), all.subspan(1), line);
  }
  return line;
}

std::optional<CommandLine> read_renamed_python(const CommandLine& line, const std::vector<std::string>& arguments) {
  if (line.python || line.titled || !line.server.empty() || arguments.size() < 2) {
    return std::nullopt;
  }
  CommandLine other;
  read_python(Arguments(arguments), other);
  return other.script.ends_with(".py") || !other.module.empty() ? std::optional(other) : std::nullopt;
}

CommandLine read_command_line(const ProcFs& proc, pid_t pid) {
  const std::vector<std::string> arguments = proc.arguments(pid);
  CommandLine line = read_command_line(arguments);
  std::optional<CommandLine> other = read_renamed_python(line, arguments);
  return other && is_python(proc.executable(pid)) ? *std::move(other) : line;
}

std::string server_program(const std::vector<std::string>& arguments) {
  return read_command_line(arguments).server;
}

std::string printable(std::string_view bytes, std::size_t limit) {
  constexpr std::string_view kHex = "0123456789abcdef";
  constexpr std::string_view kCut = "...";
  std::string text;
  for (const char byte : bytes) {
    const auto value = static_cast<unsigned char>(byte);
    std::string piece(1, byte);
    if (byte == '\\') {
      piece = "\\\\";
    } else if (value < 0x20 || value > 0x7e) {
      piece = {'\\', 'x', kHex[value >> 4], kHex[value & 15]};
    }
    if (text.size() + piece.size() > limit) {
      return text.append(kCut);
    }
    text += piece;
  }
  return text;
}

}  // namespace monitor
