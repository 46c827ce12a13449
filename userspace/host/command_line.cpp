// SPDX-License-Identifier: Apache-2.0
// Parses a Python command line as the interpreter does (Python/getopt.c, SHORT_OPTS) to find the script or module that
// it runs.
#include "host/command_line.h"

#include <array>

namespace monitor {
namespace {

constexpr std::array<std::string_view, 3> kServers = {"uvicorn", "gunicorn", "hypercorn"};

std::string_view base_name(std::string_view path) {
  return path.substr(path.rfind('/') + 1);
}

// Each function below returns the name of the server that it recognises, or "".
std::string_view server_by_name(std::string_view name) {
  for (const std::string_view server : kServers) {
    if (name == server) {
      return server;
    }
  }
  return "";
}

// A module of the server's package: "uvicorn", "gunicorn.app.wsgiapp".
std::string_view server_by_module(std::string_view module) {
  return server_by_name(module.substr(0, module.find('.')));
}

// "/usr/bin/uvicorn", or ".../uvicorn/__main__.py", which is how some launchers run a package.
std::string_view server_by_script(std::string_view path) {
  constexpr std::string_view kMain = "/__main__.py";
  if (path.ends_with(kMain)) {
    path.remove_suffix(kMain.size());
  }
  return server_by_name(base_name(path));
}

// A title set by setproctitle: "gunicorn: worker [app]".
std::string_view server_by_title(std::string_view title) {
  const std::size_t colon = title.find(": ");
  return colon == std::string_view::npos ? "" : server_by_name(title.substr(0, colon));
}

bool is_python(std::string_view program) {
  const std::string_view name = base_name(program);
  return name.starts_with("python") || name.starts_with("pypy");
}

// One argument of the interpreter and its effect on the following arguments.
struct PythonOption {
  enum Kind {
    kPlain,    // complete in itself
    kValue,    // the next argument is its value
    kModule,   // runs `module`, or the module in the next argument if `module` is empty
    kCommand,  // -c: the program is inline, so this is no server
  };
  Kind kind = kPlain;
  std::string_view module;
};

// A cluster such as -Im or -Wignore: flags up to the first letter that takes the rest as its value.
PythonOption short_options(std::string_view letters) {
  for (std::size_t i = 0; i < letters.size(); ++i) {
    const std::string_view rest = letters.substr(i + 1);
    switch (letters[i]) {
      case 'm':
        return {PythonOption::kModule, rest};
      case 'c':
        return {PythonOption::kCommand, ""};
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

// The arguments are `python <options> <script or -m module> …`.
std::string_view run_by_python(const std::vector<std::string>& arguments) {
  const auto argument = [&](std::size_t i) {
    return i < arguments.size() ? std::string_view(arguments[i]) : std::string_view();
  };
  for (std::size_t i = 1; i < arguments.size(); ++i) {
    if (argument(i) == "--") {
      return server_by_script(argument(i + 1));
    }
    if (!argument(i).starts_with("-") || argument(i) == "-") {
      return server_by_script(argument(i));
    }
    const PythonOption option = python_option(argument(i));
    switch (option.kind) {
      case PythonOption::kModule:
        return server_by_module(option.module.empty() ? argument(i + 1) : option.module);
      case PythonOption::kCommand:
        return "";
      case PythonOption::kValue:
        ++i;
        break;
      case PythonOption::kPlain:
        break;
    }
  }
  return "";
}

}  // namespace

std::string_view server_program(const std::vector<std::string>& arguments) {
  if (arguments.empty()) {
    return "";
  }
  const std::string_view title = server_by_title(arguments.front());
  if (!title.empty()) {
    return title;
  }
  return is_python(arguments.front()) ? run_by_python(arguments) : server_by_name(base_name(arguments.front()));
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
