// SPDX-License-Identifier: Apache-2.0
// A process is a server only if its tree listens: any program can be called uvicorn.
#include "host/survey.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "base/contains.h"

namespace monitor {
namespace {

// Sockets of multiprocessing's own protocol: "unix:/tmp/pymp-x/listener-y", "unix:@listener-42-0".
bool is_internal(std::string_view address) {
  return address.starts_with("unix:") &&
         (address.find("/pymp-") != std::string_view::npos || address.starts_with("unix:@listener-"));
}

// Python programs whose sockets are known not to be HTTP, by their script or module.
constexpr std::array<std::string_view, 15> kSpeakAnotherProtocol = {
    "aiosmtpd",     "debugpy.adapter", "fail2ban-server", "ipykernel",        "ipykernel_launcher",
    "ipyparallel",  "ptvsd.adapter",   "Pyro4.naming",    "Pyro5.nameserver", "pylsp",
    "rpyc_classic", "salt-master",     "salt-minion",     "salt-syndic",      "smtpd"};

// Compares the module, or the script by its name and by its name in its directory, as "debugpy/adapter".
bool speaks_another_protocol(const CommandLine& line) {
  std::string_view script = line.script;
  for (const std::string_view ending : {".py", "/__main__"}) {
    script.remove_suffix(script.ends_with(ending) ? ending.size() : 0);
  }
  const std::string_view name = base_name(script);
  const std::size_t above = script.size() - std::min(script.size(), name.size() + 1);
  const std::string_view package = base_name(script.substr(0, above));
  return std::any_of(kSpeakAnotherProtocol.begin(), kSpeakAnotherProtocol.end(), [&](std::string_view known) {
    return line.module == known || line.module.starts_with(std::string(known) + ".") || name == known ||
           (!package.empty() && std::string(package) + "." + std::string(name) == known);
  });
}

// A process that multiprocessing started to run a function of its parent's program.
bool is_multiprocessing(const CommandLine& line) {
  return line.code.starts_with("from multiprocessing.");
}

class Search {
 public:
  Search(const ProcFs& proc, ProgramReader& programs, const std::vector<pid_t>& known)
      : proc_(proc), programs_(programs), known_(known), parents_(proc.parents()) {}

  Survey run() {
    read_processes();
    survey_.processes = parents_.size();
    std::vector<pid_t> named = named_roots();
    read_sockets(named);
    for (const pid_t root : named) {
      add_named(root);
    }
    for (const auto& [root, listening] : groups()) {
      add_unnamed(root, listening);
    }
    std::stable_sort(survey_.servers.begin(), survey_.servers.end(),
                     [](const Server& left, const Server& right) { return left.evidence < right.evidence; });
    drop_descendants();
    separate_sockets();
    return std::move(survey_);
  }

 private:
  // Keeps the processes that are a server by name or known, and those of Python.
  void read_processes() {
    for (const auto& [pid, parent] : parents_) {
      const std::vector<std::string> arguments = proc_.arguments(pid);
      const bool known = contains(known_, pid);
      if (arguments.empty() && !known) {
        continue;  // a kernel thread
      }
      CommandLine line = read_command_line(arguments);
      if (!line.server.empty() || known) {
        named_.push_back(pid);
      } else if (!line.python && !is_python(proc_.executable(pid))) {
        continue;
      }
      lines_.emplace(pid, std::move(line));
    }
  }

  bool has_above(pid_t pid, const std::vector<pid_t>& others) const {
    const std::vector<pid_t> above = ancestors(parents_, pid);
    return std::any_of(above.begin(), above.end(), [&](pid_t ancestor) { return contains(others, ancestor); });
  }

  std::vector<pid_t> named_roots() const {
    std::vector<pid_t> roots;
    std::copy_if(named_.begin(), named_.end(), std::back_inserter(roots),
                 [&](pid_t pid) { return !has_above(pid, named_); });
    return roots;
  }

  void read_sockets(const std::vector<pid_t>& roots) {
    std::vector<pid_t> pids;
    for (const auto& [pid, line] : lines_) {
      pids.push_back(pid);
    }
    for (const pid_t root : roots) {
      const std::vector<pid_t> tree = process_tree(parents_, root);
      pids.insert(pids.end(), tree.begin(), tree.end());
    }
    std::sort(pids.begin(), pids.end());
    pids.erase(std::unique(pids.begin(), pids.end()), pids.end());
    sockets_ = proc_.listening_by_process(pids);
  }

  // Fills in where the processes of the server listen, and how many of them accept.
  void add_sockets(const std::vector<pid_t>& tree, Server& server) const {
    std::set<std::string> listen;
    server.workers = 0;
    for (const pid_t pid : tree) {
      const auto addresses = sockets_.find(pid);
      if (addresses == sockets_.end()) {
        continue;
      }
      listen.insert(addresses->second.begin(), addresses->second.end());
      const bool supervises = std::any_of(tree.begin(), tree.end(), [&](pid_t other) {
        return other != pid && parents_.at(other) == pid && sockets_.contains(other);
      });
      server.workers += supervises ? 0 : 1;
    }
    server.listen.assign(listen.begin(), listen.end());
  }

  Server server_at(pid_t root, const std::vector<pid_t>& tree) const {
    Server server = described(lines_.at(root), proc_.command(root));
    server.pid = root;
    add_sockets(tree, server);
    return server;
  }

  void add_named(pid_t root) {
    const std::vector<pid_t> tree = process_tree(parents_, root);
    Server server = server_at(root, tree);
    if (!server.listen.empty()) {
      const std::string& name = lines_.at(root).server;
      server.evidence = contains(known_, root) ? Evidence::kAttached : Evidence::kCommand;
      server.kind = name.empty() ? "python" : name;
      survey_.servers.push_back(std::move(server));
    } else if (any_refused(proc_, tree)) {
      survey_.refused.push_back(root);
    } else {
      survey_.starting.push_back(tree);
    }
  }

  // The process that the Python process belongs to: the one that started it with multiprocessing or by a fork.
  pid_t owner(pid_t pid) const {
    for (std::size_t steps = 0; steps < parents_.size(); ++steps) {
      const auto parent = lines_.find(parents_.at(pid));
      if (parent == lines_.end() || !parents_.contains(parent->first)) {
        break;
      }
      const CommandLine& line = lines_.at(pid);
      if (!is_multiprocessing(line) && proc_.arguments(pid) != proc_.arguments(parent->first)) {
        break;
      }
      pid = parent->first;
    }
    return pid;
  }

  // The Python processes without a server's name that listen, by their owner.
  std::map<pid_t, std::vector<pid_t>> groups() const {
    std::map<pid_t, std::vector<pid_t>> groups;
    for (const auto& [pid, addresses] : sockets_) {
      const auto line = lines_.find(pid);
      if (line == lines_.end() || contains(named_, pid) || has_above(pid, named_) ||
          speaks_another_protocol(line->second) || std::all_of(addresses.begin(), addresses.end(), is_internal)) {
        continue;
      }
      groups[owner(pid)].push_back(pid);
    }
    return groups;
  }

  bool is_ray(pid_t pid) const { return lines_.at(pid).program.starts_with("ray::"); }

  void add_unnamed(pid_t root, const std::vector<pid_t>& listening) {
    const std::vector<pid_t> tree = process_tree(parents_, root);
    Server server = server_at(root, tree);
    const CommandLine& line = lines_.at(root);
    server.evidence = Evidence::kScript;
    // An application for Ray imports a framework, and only Ray's proxy serves it.
    const bool has_proxy =
        std::any_of(named_.begin(), named_.end(), [&](pid_t pid) { return is_ray(pid) && contains(tree, pid); });
    server.kind = has_proxy ? "" : programs_.server_of(proc_, root, line);
    if (server.kind.empty() && !has_proxy && !is_ray(root)) {
      server.evidence = Evidence::kModules;
      for (const pid_t pid : listening) {
        server.kind = server.kind.empty() ? mapped_server(proc_, pid) : server.kind;
      }
    }
    if (server.kind.empty()) {
      server.evidence = Evidence::kListens;
      server.kind = "python";
    }
    survey_.servers.push_back(std::move(server));
  }

  // Removes those that belong to the tree of another server, which has the same or stronger evidence. A supervisor that
  // listens for its own commands, and so is a guess, does not hide the servers that it started; a notebook does not
  // hide a program that imports a server and listens elsewhere.
  void drop_descendants() {
    std::map<pid_t, Evidence> roots;
    for (const Server& server : survey_.servers) {
      roots.emplace(server.pid, server.evidence);
    }
    std::erase_if(survey_.servers, [&](const Server& server) {
      const std::vector<pid_t> above = ancestors(parents_, server.pid);
      return server.evidence > Evidence::kCommand && std::any_of(above.begin(), above.end(), [&](pid_t ancestor) {
               const auto root = roots.find(ancestor);
               return root != roots.end() && root->second <= server.evidence &&
                      (server.evidence != Evidence::kScript || shares_socket(server, ancestor));
             });
    });
  }

  // Whether a process above the server, within the tree of `root`, listens where the server does.
  bool shares_socket(const Server& server, pid_t root) const {
    const std::vector<pid_t> tree = process_tree(parents_, server.pid);
    const std::vector<pid_t> above = process_tree(parents_, root);
    return std::any_of(above.begin(), above.end(), [&](pid_t pid) {
      const auto addresses = sockets_.find(pid);
      return addresses != sockets_.end() && !contains(tree, pid) &&
             std::any_of(addresses->second.begin(), addresses->second.end(), [&](const std::string& address) {
               return std::find(server.listen.begin(), server.listen.end(), address) != server.listen.end();
             });
    });
  }

  // A server that another one started, as a supervisor or a notebook does, has its sockets for itself.
  void separate_sockets() {
    std::vector<pid_t> roots;
    for (const Server& server : survey_.servers) {
      roots.push_back(server.pid);
    }
    for (Server& server : survey_.servers) {
      std::vector<pid_t> tree = process_tree(parents_, server.pid);
      const std::size_t all = tree.size();
      std::erase_if(tree, [&](pid_t pid) { return nearest(pid, roots) != server.pid; });
      if (tree.size() < all) {
        add_sockets(tree, server);
      }
    }
    std::erase_if(survey_.servers, [](const Server& server) { return server.listen.empty(); });
  }

  // The process itself or its nearest ancestor that is one of `roots`.
  pid_t nearest(pid_t pid, const std::vector<pid_t>& roots) const {
    if (contains(roots, pid)) {
      return pid;
    }
    const std::vector<pid_t> above = ancestors(parents_, pid);
    const auto found =
        std::find_if(above.begin(), above.end(), [&](pid_t ancestor) { return contains(roots, ancestor); });
    return found == above.end() ? 0 : *found;
  }

  const ProcFs& proc_;
  ProgramReader& programs_;
  const std::vector<pid_t>& known_;
  ProcessParents parents_;
  std::map<pid_t, CommandLine> lines_;  // of the processes that read_processes() keeps
  std::vector<pid_t> named_;            // of these, the servers by name and the known ones
  std::map<pid_t, std::vector<std::string>> sockets_;
  Survey survey_;
};

}  // namespace

bool any_refused(const ProcFs& proc, const std::vector<pid_t>& tree) {
  return std::any_of(tree.begin(), tree.end(), [&](pid_t pid) { return proc.descriptors_refused(pid); });
}

Server described(const CommandLine& line, std::string command) {
  Server server;
  server.command = std::move(command);
  server.program = line.program.empty() ? server.command : line.program;
  server.application = line.application;
  server.title = line.program.empty() ? server.command : line.title();
  return server;
}

Survey survey_machine(const ProcFs& proc, ProgramReader* programs, const std::vector<pid_t>& known) {
  ProgramReader only_now;
  return Search(proc, programs != nullptr ? *programs : only_now, known).run();
}

}  // namespace monitor
