// SPDX-License-Identifier: Apache-2.0
// A process is a server only if its tree listens: any program can be called uvicorn.
#include "host/survey.h"

#include <algorithm>
#include <array>
#include <iterator>
#include <map>
#include <optional>
#include <set>
#include <string_view>
#include <utility>

#include "base/contains.h"
#include "model/listeners.h"

namespace monitor {
namespace {

bool is_unix(std::string_view address) {
  return address.starts_with("unix:");
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

// Two processes of a server that has set their titles, as "gunicorn: master [app]" and "gunicorn: worker [app]".
bool shares_title(const CommandLine& line, const CommandLine& parent) {
  return line.titled && parent.titled && line.server == parent.server && !line.server.empty();
}

// Titles that granian and others set under a name of the operator's: "shop", and "shop worker-1".
bool extends_title(const std::vector<std::string>& arguments, const std::vector<std::string>& parent) {
  return arguments.size() == 1 && parent.size() == 1 && arguments.front().starts_with(parent.front() + " ");
}

// Jupyter starts each kernel, in whatever language, with a file that says on which ports it listens.
bool is_kernel(const CommandLine& line) {
  const std::size_t at = line.shown.find("/kernel-");
  return at != std::string::npos && line.shown.find(".json", at) != std::string::npos;
}

class Search {
 public:
  Search(const ProcFs& proc, ProgramReader& programs, const std::vector<pid_t>& known)
      : proc_(proc), programs_(programs), known_(known), parents_(proc.parents()) {}

  Survey run() {
    read_processes();
    survey_.processes = parents_.size();
    named_roots_ = outermost_named();
    read_sockets(named_roots_);
    add_nested_roots();
    for (const pid_t root : named_roots_) {
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
      const bool certain = !line.server.empty() || known || line.python;
      const std::string executable = certain ? "" : proc_.executable(pid);
      if (!certain && !is_python(executable) && !programs_.embeds_python(proc_, pid, executable)) {
        continue;
      }
      if (std::optional<CommandLine> other = certain ? std::nullopt : read_renamed_python(line, arguments)) {
        line = *std::move(other);
      }
      if (!line.server.empty() || known) {
        named_.push_back(pid);
      }
      lines_.emplace(pid, std::move(line));
    }
  }

  bool has_above(pid_t pid, const std::vector<pid_t>& others) const {
    const std::vector<pid_t> above = ancestors(parents_, pid);
    return std::any_of(above.begin(), above.end(), [&](pid_t ancestor) { return contains(others, ancestor); });
  }

  std::vector<pid_t> outermost_named() const {
    std::vector<pid_t> roots;
    std::copy_if(named_.begin(), named_.end(), std::back_inserter(roots),
                 [&](pid_t pid) { return !has_above(pid, named_); });
    return roots;
  }

  // A server that another one started, as an application starts a model server, is a root, too.
  void add_nested_roots() {
    std::vector<pid_t> inner;
    std::copy_if(named_.begin(), named_.end(), std::back_inserter(inner),
                 [&](pid_t pid) { return !contains(named_roots_, pid); });
    // Those above first: pids are no order, because the kernel reuses them.
    std::stable_sort(inner.begin(), inner.end(), [&](pid_t left, pid_t right) {
      return ancestors(parents_, left).size() < ancestors(parents_, right).size();
    });
    for (const pid_t pid : inner) {
      if (serves_apart(pid, nearest(pid, named_roots_))) {
        named_roots_.push_back(pid);
      }
    }
    std::sort(named_roots_.begin(), named_roots_.end());
  }

  // Where the processes listen, without the sockets of multiprocessing.
  template <typename IsWanted>
  std::set<std::string> addresses_of(const std::vector<pid_t>& tree, IsWanted is_wanted) const {
    std::set<std::string> found;
    for (const pid_t pid : tree) {
      const auto addresses = sockets_.find(pid);
      if (addresses != sockets_.end() && is_wanted(pid)) {
        std::remove_copy_if(addresses->second.begin(), addresses->second.end(), std::inserter(found, found.end()),
                            is_internal_address);
      }
    }
    return found;
  }

  // Whether a process below the root `server` is a server of its own: it runs a program of its own, and listens, with
  // all processes below it, only where the server's own processes do not. If those listen nowhere, it serves for them.
  bool serves_apart(pid_t pid, pid_t server) const {
    if (owner(pid) != pid) {
      return false;
    }
    const auto any = [](pid_t) { return true; };
    const std::set<std::string> its = addresses_of(process_tree(parents_, pid), any);
    const std::set<std::string> servers = addresses_of(process_tree(parents_, server, {pid}), [&](pid_t other) {
      return other == server || (lines_.contains(other) && owner(other) == server);
    });
    return !its.empty() && !servers.empty() &&
           std::none_of(its.begin(), its.end(), [&](const std::string& address) { return servers.contains(address); });
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
      const std::vector<std::string> arguments = proc_.arguments(pid);
      const std::vector<std::string> above = proc_.arguments(parent->first);
      if (!is_multiprocessing(line) && !shares_title(line, parent->second) && arguments != above &&
          !extends_title(arguments, above)) {
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
      if (line == lines_.end() || contains(named_, pid) || speaks_another_protocol(line->second) ||
          std::all_of(addresses.begin(), addresses.end(), is_internal_address)) {
        continue;
      }
      const pid_t root = owner(pid);
      if (!contains(named_, root) && (!has_above(root, named_) || is_nested(root, nearest(root, named_roots_)))) {
        groups[root].push_back(pid);
      }
    }
    return groups;
  }

  // The same as serves_apart, for a process without a server's name. One that has set a title of its own can be a part
  // of the server above it, as the engine of a model server is.
  bool is_nested(pid_t pid, pid_t server) const {
    return lines_.at(pid).python && !is_kernel(lines_.at(pid)) && serves_apart(pid, server);
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

  // Removes those that belong to the tree of another server, which has the same or stronger evidence, unless they stand
  // alone. A supervisor that listens for its own commands, and so is a guess, does not hide the servers that it
  // started.
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
                      !stands_alone(server, ancestor, root->second);
             });
    });
  }

  // Whether a server below another one, with weaker or the same evidence, is no part of it. A program that imports a
  // server needs only a listener of its own, as one that runs in a notebook's terminal has.
  bool stands_alone(const Server& server, pid_t root, Evidence evidence) const {
    if (server.evidence == Evidence::kScript) {
      return !shares_socket(server, root);
    }
    if (server.evidence == Evidence::kListens &&
        (is_guess(evidence) || std::all_of(server.listen.begin(), server.listen.end(), is_unix))) {
      return false;
    }
    return is_nested(server.pid, root);
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
      server.outer = nearest(parents_.at(server.pid), roots);
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
  std::vector<pid_t> named_roots_;      // of these, the roots
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
