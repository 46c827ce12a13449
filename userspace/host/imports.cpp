// SPDX-License-Identifier: Apache-2.0
// Reads a program's source, or the metadata of the package that it belongs to, as the process itself sees them:
// through /proc/PID/cwd and /proc/PID/root. Others write these files, so only regular files are read, up to a limit.
#include "host/imports.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <iterator>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/fd.h"
#include "host/python_code.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxProgramBytes = 262144;
constexpr std::size_t kMaxKnown = 4096;
constexpr std::size_t kMaxPackages = 4000;
constexpr std::size_t kMaxPackageDirectories = 4;

// How far a program's own modules are followed: the modules that it imports and those that these import, but not more
// files than this.
constexpr int kMaxDepth = 2;
constexpr int kMaxFollowed = 32;
constexpr std::size_t kMaxImports = 256;  // of one file

// Modules whose import makes a program that listens an HTTP server, and distributions whose requirement does.
constexpr std::array<std::string_view, 22> kServerModules = {
    "uvicorn", "hypercorn", "granian", "gunicorn",    "daphne",         "waitress", "cheroot", "sanic",
    "robyn",   "bjoern",    "fastapi", "starlette",   "litestar",       "quart",    "flask",   "werkzeug",
    "gradio",  "streamlit", "nicegui", "aiohttp.web", "jupyter_server", "fastmcp"};

// Directories of compiled modules that an HTTP server in Python maps.
constexpr std::array<std::string_view, 8> kCompiled = {"granian", "httptools", "uvloop",   "zttp",
                                                       "robyn",   "bjoern",    "meinheld", "socketify"};

// A package that requires a server for one of its processes, which has a title of its own: ray::ProxyActor.
constexpr std::string_view kTitled = "ray";

// Every process of Ray maps this module and uvloop.
constexpr std::string_view kRayModule = "/ray/_raylet.";

// How the directory ends that describes an installed distribution.
constexpr std::string_view kDistribution = ".dist-info";

using Directory = std::unique_ptr<DIR, int (*)(DIR*)>;

bool is_blank(char c) {
  return c == ' ' || c == '\t' || c == '\r';
}

std::string_view trim_front(std::string_view text) {
  while (!text.empty() && is_blank(text.front())) {
    text.remove_prefix(1);
  }
  return text;
}

// Removes the characters of a dotted name from the front of `text` and returns them.
std::string_view take_name(std::string_view& text) {
  const auto* const end = std::find_if(text.begin(), text.end(), [](char c) {
    return std::isalnum(static_cast<unsigned char>(c)) == 0 && c != '_' && c != '.';
  });
  const auto size = static_cast<std::size_t>(end - text.begin());
  const std::string_view name = text.substr(0, size);
  text.remove_prefix(size);
  return name;
}

// The entry of the table that is the module or a package that it is in, or "".
std::string_view server_module(std::string_view module) {
  const auto* const found = std::find_if(kServerModules.begin(), kServerModules.end(), [&](std::string_view server) {
    return module == server || (module.starts_with(server) && module.substr(server.size()).starts_with("."));
  });
  return found == kServerModules.end() ? "" : *found;
}

// "import a, b as c"
std::string_view server_of_import(std::string_view names) {
  for (;;) {
    names = trim_front(names);
    const std::string_view server = server_module(take_name(names));
    if (!server.empty()) {
      return server;
    }
    const std::size_t comma = names.find(',');
    if (comma == std::string_view::npos) {
      return "";
    }
    names.remove_prefix(comma + 1);
  }
}

// "from a import b": a, or a.b ("from aiohttp import web")
std::string_view server_of_from(std::string_view rest) {
  rest = trim_front(rest);
  const std::string_view module = take_name(rest);
  const std::string_view server = server_module(module);
  rest = trim_front(rest);
  if (!server.empty() || !rest.starts_with("import ")) {
    return server;
  }
  rest = trim_front(rest.substr(rest.find(' ')));
  return server_module(std::string(module) + "." + std::string(take_name(rest)));
}

// The words of one statement decide.
std::string_view server_of_statement(std::string_view statement) {
  constexpr std::string_view kImport = "import ";
  constexpr std::string_view kFrom = "from ";
  statement = trim_front(statement);
  if (statement.starts_with(kImport)) {
    return server_of_import(statement.substr(kImport.size()));
  }
  return statement.starts_with(kFrom) ? server_of_from(statement.substr(kFrom.size())) : std::string_view();
}

// Adds the modules that the statement imports, as they are written: "a.b", ".c" within a package.
void add_imports(std::string_view statement, std::vector<std::string>& modules) {
  constexpr std::string_view kImport = "import ";
  constexpr std::string_view kFrom = "from ";
  statement = trim_front(statement);
  if (statement.starts_with(kFrom)) {
    statement = trim_front(statement.substr(kFrom.size()));
    const std::string package(take_name(statement));
    statement = trim_front(statement);
    if (statement.starts_with(kImport)) {
      statement = trim_front(statement.substr(kImport.size()));
      const std::string_view name = take_name(statement);
      modules.push_back(package + (package.ends_with(".") ? "" : ".") + std::string(name));
      modules.push_back(package);
    }
    return;
  }
  for (bool more = statement.starts_with(kImport); more;) {
    statement = trim_front(statement.substr(statement.find_first_of(" ,") + 1));
    modules.emplace_back(take_name(statement));
    const std::size_t comma = statement.find(',');
    more = comma != std::string_view::npos;
    statement.remove_prefix(more ? comma : 0);
  }
}

// The start of a regular file; nullopt if it cannot be read. Opening a device can have side effects, so the name is
// resolved without opening what it names first.
std::optional<std::string> read_regular(const std::string& path) {
  const Fd name(::open(path.c_str(), O_PATH | O_CLOEXEC));
  struct stat status {};
  if (!name || ::fstat(name.get(), &status) != 0 || !S_ISREG(status.st_mode)) {
    return std::nullopt;
  }
  const Fd file(::open(("/proc/self/fd/" + std::to_string(name.get())).c_str(), O_RDONLY | O_CLOEXEC));
  std::string text(std::min<std::size_t>(kMaxProgramBytes, static_cast<std::size_t>(status.st_size)), '\0');
  std::size_t size = 0;
  while (file && size < text.size()) {
    const ssize_t got = ::read(file.get(), text.data() + size, text.size() - size);
    if (got <= 0) {
      break;
    }
    size += static_cast<std::size_t>(got);
  }
  text.resize(size);
  return file ? std::optional<std::string>(std::move(text)) : std::nullopt;
}

// A path as the process resolves it.
std::string seen_by(const ProcFs& proc, pid_t pid, const std::string& path) {
  const std::string base = proc.path() + "/" + std::to_string(pid);
  return path.starts_with("/") ? base + "/root" + path : base + "/cwd/" + path;
}

std::vector<std::string> entries(const std::string& path) {
  std::vector<std::string> names;
  const Directory directory(::opendir(path.c_str()), ::closedir);
  while (const dirent* entry = directory ? ::readdir(directory.get()) : nullptr) {
    if (entry->d_name[0] != '.' && names.size() < kMaxPackages) {
      names.emplace_back(entry->d_name);
    }
  }
  return names;
}

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

std::string server_of_code(std::string_view code) {
  while (!code.empty()) {
    const std::size_t end = std::min(code.find_first_of("\n;"), code.size());
    const std::string_view server = server_of_statement(code.substr(0, end));
    if (!server.empty()) {
      return std::string(server);
    }
    code.remove_prefix(std::min(end + 1, code.size()));
  }
  return "";
}

// The server that the program imports, itself or by modules of its own, which are in `root`. `directory` is that of the
// program's file.
std::string server_of_program(const std::string& root, const std::string& directory, std::string_view source,
                              int& files_left, int depth = kMaxDepth) {
  const std::string stripped = code_of(source);
  std::string_view code = stripped;
  std::string server = server_of_code(code);
  std::vector<std::string> modules;
  while (server.empty() && depth > 0 && !code.empty() && modules.size() < kMaxImports) {
    const std::size_t end = std::min(code.find_first_of("\n;"), code.size());
    add_imports(code.substr(0, end), modules);
    code.remove_prefix(std::min(end + 1, code.size()));
  }
  for (auto module = modules.begin(); server.empty() && module != modules.end(); ++module) {
    const std::string path = path_of_module(root, directory, *module);
    for (const char* const end : {".py", "/__init__.py"}) {
      const auto text = files_left > 0 ? read_regular(path + end) : std::nullopt;
      if (text) {
        --files_left;
        const std::string file = path + end;
        server = server_of_program(root, file.substr(0, file.rfind('/')), *text, files_left, depth - 1);
        break;
      }
    }
  }
  return server;
}

std::string server_of_program(const std::string& root, std::string_view source) {
  int files_left = kMaxFollowed;
  return server_of_program(root, root, source, files_left);
}

// Names of distributions compare equal however they are spelt: "jupyter-server", "Jupyter_Server".
std::string normal_name(std::string_view name) {
  std::string normal;
  for (const char c : name) {
    normal += c == '-' || c == '.' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return normal;
}

// The module that a console script imports its function from: "from solara.__main__ import main" → "solara.__main__".
std::string module_of_console_script(std::string_view source) {
  constexpr std::string_view kFrom = "\nfrom ";
  const std::size_t at = source.find(kFrom);
  if (!source.starts_with("#!") || at == std::string_view::npos) {
    return "";
  }
  std::string_view rest = source.substr(at + kFrom.size());
  return std::string(take_name(rest));
}

// The server that the module imports, or its __main__ if it is a package that `python -m` runs.
std::string server_in_directory(const std::string& directory, std::string module, bool run) {
  std::replace(module.begin(), module.end(), '.', '/');
  for (const char* const end : {".py", run ? "/__main__.py" : "/__init__.py"}) {
    if (const auto text = read_regular(directory + "/" + module + end)) {
      return imported_server(*text);
    }
  }
  return "";
}

// Whether the distribution installs the console script, by its entry_points.txt; without one, a script of the package.
bool installs(const std::string& distribution, std::string_view package, std::string_view script) {
  const std::string text = "\n" + read_regular(distribution + "/entry_points.txt").value_or("");
  if (script.empty()) {
    const std::string function = "= " + std::string(package);
    return text.find(function + ":") != std::string::npos || text.find(function + ".") != std::string::npos;
  }
  const std::string start = "\n" + std::string(script);
  return text.find(start + " =") != std::string::npos || text.find(start + "=") != std::string::npos;
}

// A server among the distribution and those that it requires, by its METADATA. What only an extra requires counts if it
// is installed: `installed` has the entries of the directory.
std::string required_server(const std::string& distribution, std::string_view name,
                            const std::vector<std::string>& installed) {
  const std::string_view self = server_module(normal_name(name));
  if (!self.empty()) {
    return std::string(self);
  }
  const std::string metadata = read_regular(distribution + "/METADATA").value_or("");
  const std::string_view head = std::string_view(metadata).substr(0, metadata.find("\n\n"));
  constexpr std::string_view kRequires = "\nRequires-Dist: ";
  std::set<std::string> required;
  for (std::size_t at = head.find(kRequires); at != std::string_view::npos; at = head.find(kRequires, at + 1)) {
    std::string_view rest = head.substr(at + kRequires.size());
    rest = rest.substr(0, rest.find('\n'));
    std::string needed = normal_name(rest.substr(0, rest.find_first_of(" ;[<>=!~(\r")));
    const bool is_extra = rest.find("extra ==") != std::string_view::npos;
    if (!is_extra || std::any_of(installed.begin(), installed.end(), [&](const std::string& entry) {
          return entry.ends_with(kDistribution) && normal_name(entry.substr(0, entry.find('-'))) == needed;
        })) {
      required.insert(std::move(needed));
    }
  }
  const auto* const found = std::find_if(kServerModules.begin(), kServerModules.end(), [&](std::string_view server) {
    return required.contains(std::string(server));
  });
  return found == kServerModules.end() ? "" : std::string(*found);
}

// The server that the distribution of a console script requires, among those installed in the directory `packages`. A
// distribution is most often named like the module that the script imports.
std::string server_of_distribution(const std::string& packages, std::string_view module, std::string_view script) {
  std::string named_otherwise;
  const std::vector<std::string> installed = entries(packages);
  for (const std::string& entry : installed) {
    if (!entry.ends_with(kDistribution)) {
      continue;
    }
    const std::string name = entry.substr(0, entry.find('-'));
    std::string path = packages;
    path.append("/").append(entry);
    if (normal_name(name) == module) {
      return required_server(path, name, installed);
    }
    if (named_otherwise.empty() && installs(path, module, script)) {
      named_otherwise = required_server(path, name, installed);
    }
  }
  return named_otherwise;
}

// Adds the directories of modules of the environment that the program ("/venv/bin/python") is in.
void add_environment(const std::string& program, std::vector<std::string>& directories) {
  const std::size_t slash = program.rfind('/');
  const std::string library = program.substr(0, slash) + "/../lib/";
  for (const std::string& version : slash == std::string::npos ? std::vector<std::string>() : entries(library)) {
    if (version.starts_with("python") || version.starts_with("pypy")) {
      directories.push_back(library + version + "/site-packages");
      directories.push_back(library + version + "/dist-packages");
    }
  }
}

// Adds the directories of modules from which the process maps a compiled one: the environment of a script that is
// called through a symbolic link, or of "python" without a directory.
void add_mapped(const ProcFs& proc, pid_t pid, std::vector<std::string>& directories) {
  std::vector<std::string> found;
  proc.maps_any(pid, [&](std::string_view path) {
    for (const std::string_view kind : {"/site-packages/", "/dist-packages/"}) {
      const std::size_t at = path.find(kind);
      std::string directory(path.substr(0, at == std::string_view::npos ? 0 : at + kind.size() - 1));
      if (!directory.empty() && std::find(found.begin(), found.end(), directory) == found.end()) {
        found.push_back(std::move(directory));
      }
    }
    return found.size() >= kMaxPackageDirectories;
  });
  std::transform(found.begin(), found.end(), std::back_inserter(directories),
                 [&](const std::string& directory) { return seen_by(proc, pid, directory); });
}

// The server that an installed module imports, or that its distribution requires. `script` is the console script that
// imports the module; empty if `python -m` runs it.
std::string server_of_installed(const std::vector<std::string>& directories, const std::string& module,
                                std::string_view script) {
  const std::string package = normal_name(module.substr(0, module.find('.')));
  if (package == kTitled) {
    return "";
  }
  for (const std::string& directory : directories) {
    std::string server = server_in_directory(directory, module, script.empty());
    if (server.empty()) {
      server = server_of_distribution(directory, package, script);
    }
    if (!server.empty()) {
      return server;
    }
  }
  return "";
}

std::string server_of_script(const ProcFs& proc, pid_t pid, const std::string& script) {
  const std::string path = seen_by(proc, pid, script);
  const std::string source = read_regular(path).value_or("");
  const std::string module = module_of_console_script(source);
  std::string server =
      module.empty() ? server_of_program(path.substr(0, path.rfind('/')), source) : imported_server(source);
  if (!server.empty() || module.empty()) {
    return server;
  }
  std::vector<std::string> directories;
  add_environment(path, directories);
  add_mapped(proc, pid, directories);
  return server_of_installed(directories, module, base_name(script));
}

// `python -m` runs a module where the process works, or one that is installed.
std::string server_of_module(const ProcFs& proc, pid_t pid, const std::string& module) {
  const std::string here = seen_by(proc, pid, ".");
  for (const char* const end : {".py", "/__main__.py"}) {
    const std::string path = path_of_module(here, here, module) + end;
    const auto source = read_regular(path);
    int files_left = kMaxFollowed;
    std::string server =
        source ? server_of_program(here, path.substr(0, path.rfind('/')), *source, files_left) : std::string();
    if (!server.empty()) {
      return server;
    }
  }
  const std::vector<std::string> arguments = proc.arguments(pid);
  std::vector<std::string> directories;
  if (!arguments.empty() && arguments.front().find('/') != std::string::npos) {
    add_environment(seen_by(proc, pid, arguments.front()), directories);
  }
  add_mapped(proc, pid, directories);
  return server_of_installed(directories, module, "");
}

}  // namespace

std::string imported_server(std::string_view source) {
  return server_of_code(code_of(source));
}

std::string ProgramReader::server_of(const ProcFs& proc, pid_t pid, const CommandLine& line) {
  if (!line.code.empty()) {
    return server_of_program(seen_by(proc, pid, "."), line.code);
  }
  if (line.script.empty() && line.module.empty()) {
    return "";
  }
  if (known_.size() >= kMaxKnown) {
    known_.clear();
  }
  const auto [entry, is_new] = known_.try_emplace({pid, line.script + '\0' + line.module + '\0' + line.shown});
  if (is_new) {
    entry->second =
        line.script.empty() ? server_of_module(proc, pid, line.module) : server_of_script(proc, pid, line.script);
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
