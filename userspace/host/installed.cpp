// SPDX-License-Identifier: Apache-2.0
#include "host/installed.h"

#include <algorithm>
#include <cctype>
#include <iterator>
#include <set>

#include "host/imports.h"
#include "host/seen_files.h"

namespace monitor {
namespace {

constexpr std::size_t kMaxPackageDirectories = 4;

// A package that requires a server for one of its processes, which has a title of its own: ray::ProxyActor.
constexpr std::string_view kTitled = "ray";

// How the directory ends that describes an installed distribution.
constexpr std::string_view kDistribution = ".dist-info";

// Names of distributions compare equal however they are spelt: "jupyter-server", "Jupyter_Server".
std::string normal_name(std::string_view name) {
  std::string normal;
  for (const char c : name) {
    normal += c == '-' || c == '.' ? '_' : static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return normal;
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
  const auto servers = server_modules();
  const auto found = std::find_if(servers.begin(), servers.end(),
                                  [&](std::string_view server) { return required.contains(std::string(server)); });
  return found == servers.end() ? "" : std::string(*found);
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

}  // namespace

std::vector<std::string> package_directories(const ProcFs& proc, pid_t pid, const std::string& program) {
  std::vector<std::string> directories;
  if (!program.empty()) {
    add_environment(program, directories);
  }
  add_mapped(proc, pid, directories);
  return directories;
}

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

}  // namespace monitor
