// SPDX-License-Identifier: Apache-2.0
#include "host/program_reader.h"

#include <algorithm>
#include <array>
#include <deque>
#include <functional>
#include <optional>
#include <set>
#include <string_view>
#include <utility>
#include <vector>

#include "host/archive.h"
#include "host/imports.h"
#include "host/installed.h"
#include "host/seen_files.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxKnown = 4096;

// How far a program's own modules are followed: the modules that it imports, those that these import and so on, but not
// more files than this, the nearest first.
constexpr int kMaxDepth = 4;
constexpr int kMaxFollowed = 64;

// Directories of compiled modules that an HTTP server in Python maps.
constexpr std::array<std::string_view, 8> kCompiled = {"granian", "httptools", "uvloop",   "zttp",
                                                       "robyn",   "bjoern",    "meinheld", "socketify"};

// Every process of Ray maps this module and uvloop.
constexpr std::string_view kRayModule = "/ray/_raylet.";

// The process whose program is read, and where its texts go.
struct Reading {
  const ProcFs& proc;
  pid_t pid;
  std::string* sources;  // collects those of the program's own files, all of them; null: read no more than is needed
};

// Returns the text of a file of the program; nullopt if there is none.
using Load = std::function<std::optional<std::string>(const std::string& path)>;

// Where a module is looked for, without ".py": below `root`, or beside the importing file if its name begins with a
// dot.
std::string path_of_module(const std::string& root, std::string directory, std::string module) {
  std::size_t dots = module.find_first_not_of('.');
  dots = std::min(dots, module.size());
  for (std::size_t up = 1; up < dots; ++up) {
    directory += "/..";
  }
  std::replace(module.begin(), module.end(), '.', '/');
  return (dots == 0 ? root : directory) + "/" + module.substr(dots);
}

// A file of a program, and how far it may be followed.
struct Source {
  std::string text;
  std::string directory;  // that it is in
  int depth = kMaxDepth;
};

// Where the files of the imported modules can be: below the roots, or beside the importing file.
std::vector<std::string> candidates(const std::vector<std::string>& roots, const Source& source,
                                    const std::vector<std::string>& modules) {
  std::vector<std::string> paths;
  for (const std::string& module : modules) {
    for (const std::string& root : roots) {
      const std::string path = path_of_module(root, source.directory, module);
      paths.push_back(path + ".py");
      paths.push_back(path + "/__init__.py");
    }
  }
  return paths;
}

// The server that a program imports, itself or by modules of its own, which are below `roots`. Else the framework of
// which it has an application, unless it accepts connections by itself: then the application may be there for its
// schema, or for a test.
std::string server_of_program(std::string* sources, const Load& load, const std::vector<std::string>& roots,
                              Source program) {
  std::deque<Source> waiting;
  waiting.push_back(std::move(program));
  std::set<std::string> seen;
  Imports found;
  bool is_main = true;
  for (int files_left = kMaxFollowed; !waiting.empty(); waiting.pop_front()) {
    const Source source = std::move(waiting.front());
    const Imports imports = read_imports(source.text, is_main);
    is_main = false;
    found.server = found.server.empty() ? imports.server : found.server;
    found.framework = found.framework.empty() ? imports.framework : found.framework;
    found.listens = found.listens || imports.listens;
    if (sources != nullptr) {
      *sources += source.text + "\n";
    } else if (!found.server.empty()) {
      break;
    }
    if (source.depth == 0) {
      continue;
    }
    for (const std::string& path : candidates(roots, source, imports.modules)) {
      std::optional<std::string> text = files_left > 0 && seen.insert(path).second ? load(path) : std::nullopt;
      if (text) {
        --files_left;
        waiting.push_back({*std::move(text), path.substr(0, path.rfind('/')), source.depth - 1});
      }
    }
  }
  return !found.server.empty() || found.listens ? found.server : found.framework;
}

std::string directory_of(const std::string& path) {
  return path.substr(0, path.rfind('/'));
}

// The directories of PYTHONPATH, where a program's own modules are, too.
void add_python_path(const Reading& by, std::vector<std::string>& roots) {
  const std::string all = started_with(by.proc, by.pid, "PYTHONPATH");
  for (std::string_view rest = all; !rest.empty();) {
    const std::string_view one = rest.substr(0, rest.find(':'));
    if (!one.empty()) {
      roots.push_back(seen_by(by.proc, by.pid, std::string(one)));
    }
    rest.remove_prefix(std::min(one.size() + 1, rest.size()));
  }
}

// The server of a program that is in directories that the process sees; `root` is that of its modules. Programs often
// add the one that they work in.
std::string server_in_files(const Reading& by, const std::string& root, Source program) {
  std::vector<std::string> roots = {root, seen_by(by.proc, by.pid, ".")};
  add_python_path(by, roots);
  return server_of_program(by.sources, read_regular, roots, std::move(program));
}

// The module that a console script imports its function from: "from solara.__main__ import main" → "solara.__main__".
std::string module_of_console_script(std::string_view source) {
  constexpr std::string_view kFrom = "\nfrom ";
  const std::size_t at = source.find(kFrom);
  if (!source.starts_with("#!") || at == std::string_view::npos) {
    return "";
  }
  const std::string_view rest = source.substr(at + kFrom.size());
  return std::string(rest.substr(0, rest.find_first_of(" \t\r\n")));
}

// A program in a ZIP file imports a server, or has one with it.
std::string server_of_archive(const Reading& by, const Archive& archive) {
  const Load load = [&archive](const std::string& path) {
    return archive.read(path.starts_with("/") ? path.substr(1) : path);
  };
  std::string server = server_of_program(by.sources, load, {""}, {archive.read("__main__.py").value_or(""), ""});
  for (const std::string_view package : server_modules()) {
    if (server.empty() && package.find('.') == std::string_view::npos && archive.has_package(package)) {
      server = package;
    }
  }
  return server;
}

// The path of the script as this process sees it. A relative one is as of the start of the process: many programs go to
// another directory later.
std::string path_of_script(const ProcFs& proc, pid_t pid, const std::string& script) {
  std::string path = seen_by(proc, pid, script);
  if (!script.starts_with("/") && !read_regular(path) && !read_regular(path + "/__main__.py")) {
    const std::string started_in = started_with(proc, pid, "PWD");
    if (started_in.starts_with("/")) {
      path = seen_by(proc, pid, started_in + "/" + script);
    }
  }
  return path;
}

std::string server_of_script(const Reading& by, const std::string& script) {
  const std::string path = path_of_script(by.proc, by.pid, script);
  if (const auto main = read_regular(path + "/__main__.py")) {  // a directory
    return server_in_files(by, path, {*main, path});
  }
  const std::string source = read_regular(path).value_or("");
  if (source.find('\0') != std::string::npos) {
    const std::optional<Archive> archive = Archive::open(path);
    return archive ? server_of_archive(by, *archive) : "";
  }
  const std::string module = module_of_console_script(source);
  if (module.empty()) {
    return server_in_files(by, directory_of(path), {source, directory_of(path)});
  }
  std::string server = imported_server(source);
  if (server.empty()) {
    server = server_of_installed(package_directories(by.proc, by.pid, path), module, base_name(script));
  }
  // or a script with a first line like that of one, and modules of its own
  return server.empty() ? server_in_files(by, directory_of(path), {source, directory_of(path)}) : server;
}

// `python -m` runs a module where the process works or in PYTHONPATH, or one that is installed.
std::string server_of_module(const Reading& by, const std::string& module) {
  if (const std::string_view known = server_module(module); !known.empty()) {
    return std::string(known);
  }
  std::vector<std::string> roots = {seen_by(by.proc, by.pid, ".")};
  const std::string started_in = started_with(by.proc, by.pid, "PWD");
  if (started_in.starts_with("/")) {
    roots.push_back(seen_by(by.proc, by.pid, started_in));
  }
  add_python_path(by, roots);
  for (const std::string& root : roots) {
    for (const char* const end : {".py", "/__main__.py"}) {
      const std::string path = path_of_module(root, root, module) + end;
      if (auto source = read_regular(path)) {
        std::string server =
            server_of_program(by.sources, read_regular, roots, {*std::move(source), directory_of(path)});
        if (!server.empty()) {
          return server;
        }
      }
    }
  }
  const std::vector<std::string> arguments = by.proc.arguments(by.pid);
  const bool has_path = !arguments.empty() && arguments.front().find('/') != std::string::npos;
  return server_of_installed(
      package_directories(by.proc, by.pid, has_path ? seen_by(by.proc, by.pid, arguments.front()) : ""), module, "");
}

// The module of "shop.main:app", and of "shop.main.run", which watchfiles runs; empty if it names none.
std::string module_of_argument(const CommandLine& line, const std::string& argument) {
  if (is_application(argument)) {
    return argument.substr(0, argument.find(':'));
  }
  const std::size_t dot = argument.rfind('.');
  return line.program == "watchfiles" && dot != std::string::npos ? argument.substr(0, dot) : "";
}

// A program that runs an application named by its arguments serves what that one imports.
std::string server_of_argument(const Reading& by, const CommandLine& line) {
  const std::string here = seen_by(by.proc, by.pid, ".");
  for (const std::string& argument : by.proc.arguments(by.pid)) {
    const std::string module = module_of_argument(line, argument);
    for (const char* const end : {".py", "/__init__.py"}) {
      const std::string path = path_of_module(here, here, module) + end;
      if (auto source = module.empty() ? std::nullopt : read_regular(path)) {
        return server_in_files(by, here, {*std::move(source), directory_of(path)});
      }
    }
  }
  return "";
}

// The server of the program that a Python process runs.
std::string server_of_line(const Reading& by, const CommandLine& line) {
  const std::string here = seen_by(by.proc, by.pid, ".");
  if (!line.code.empty()) {
    return server_in_files(by, here, {line.code, here});
  }
  std::string server;
  if (!line.module.empty()) {
    server = server_of_module(by, line.module);
  } else if (!line.script.empty()) {
    server = server_of_script(by, line.script);
  } else {
    // python <main.py
    const std::string input = by.proc.path() + "/" + std::to_string(by.pid) + "/fd/0";
    server = server_in_files(by, here, {read_regular(input).value_or(""), here});
  }
  return server.empty() ? server_of_argument(by, line) : server;
}

}  // namespace

std::string ProgramReader::server_of(const ProcFs& proc, pid_t pid, const CommandLine& line) {
  const Reading by{proc, pid, nullptr};
  if (!line.code.empty()) {
    return server_of_line(by, line);
  }
  if (!line.python) {
    return "";
  }
  if (known_.size() >= kMaxKnown) {
    known_.clear();
  }
  const auto [entry, is_new] = known_.try_emplace({pid, line.script + '\0' + line.module + '\0' + line.shown});
  if (is_new) {
    entry->second = server_of_line(by, line);
  }
  return entry->second;
}

ProgramServer read_program(const ProcFs& proc, pid_t pid, const CommandLine& line) {
  ProgramServer program;
  if (line.python || !line.code.empty()) {
    program.server = server_of_line(Reading{proc, pid, &program.sources}, line);
  }
  return program;
}

bool ProgramReader::embeds_python(const ProcFs& proc, pid_t pid, const std::string& executable) {
  if (embeds_.size() >= kMaxKnown) {
    embeds_.clear();
  }
  const auto [entry, is_new] = embeds_.try_emplace({pid, executable});
  if (is_new) {
    entry->second = proc.maps_any(pid, [](std::string_view path) {
      constexpr std::array<std::string_view, 4> kSigns = {"/libpython3", "/lib-dynload/", "/site-packages/",
                                                          "/dist-packages/"};
      return path.find(".so") != std::string_view::npos &&
             std::any_of(kSigns.begin(), kSigns.end(),
                         [path](std::string_view sign) { return path.find(sign) != std::string_view::npos; });
    });
  }
  return entry->second;
}

std::string mapped_server(const ProcFs& proc, pid_t pid) {
  std::string found;
  const bool is_ray = proc.maps_any(pid, [&](std::string_view path) {
    for (const std::string_view module : kCompiled) {
      if (found.empty() && path.find(".so") != std::string_view::npos &&
          path.find("/" + std::string(module) + "/") != std::string_view::npos) {
        found = module;
      }
    }
    return path.find(kRayModule) != std::string_view::npos;
  });
  return is_ray ? "" : found;
}

}  // namespace monitor
