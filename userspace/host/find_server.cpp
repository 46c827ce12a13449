// SPDX-License-Identifier: Apache-2.0
// Looks over all processes for servers, and turns what the operator said into one of them or into an error that says
// what was looked at. A process is a server only if its tree listens: anything may be called uvicorn.
#include "host/find_server.h"

#include <algorithm>
#include <utility>

#include "host/command_line.h"
#include "host/pid_file.h"

namespace monitor {
namespace {

constexpr std::size_t kCommandShown = 60;
constexpr std::size_t kListenShown = 120;

// What a look at the whole machine found.
struct Survey {
  std::vector<Server> servers;
  std::vector<pid_t> refused;  // called like a server, but we may not see their descriptors
  std::size_t silent = 0;      // called like a server, but listening nowhere
  std::size_t processes = 0;   // looked at
};

bool any_refused(const ProcFs& proc, const std::vector<pid_t>& tree) {
  return std::any_of(tree.begin(), tree.end(), [&](pid_t pid) { return proc.descriptors_refused(pid); });
}

// The processes called like a server, or known to be one, that descend from no other such process.
std::vector<pid_t> named_roots(const ProcFs& proc, const ProcessParents& parents, const std::vector<pid_t>& known) {
  std::vector<pid_t> named;  // sorted, as the map is
  for (const auto& [pid, parent] : parents) {
    if (std::find(known.begin(), known.end(), pid) != known.end() || !server_program(proc.arguments(pid)).empty()) {
      named.push_back(pid);
    }
  }
  std::vector<pid_t> roots;
  for (const pid_t pid : named) {
    const std::vector<pid_t> above = ancestors(parents, pid);
    if (std::none_of(above.begin(), above.end(),
                     [&](pid_t ancestor) { return std::binary_search(named.begin(), named.end(), ancestor); })) {
      roots.push_back(pid);
    }
  }
  return roots;
}

Survey look_around(const ProcFs& proc, const std::vector<pid_t>& known = {}) {
  const ProcessParents parents = proc.parents();
  Survey survey;
  survey.processes = parents.size();
  for (const pid_t root : named_roots(proc, parents, known)) {
    const std::vector<pid_t> tree = process_tree(parents, root);
    std::vector<std::string> listen = proc.listening(tree);
    if (!listen.empty()) {
      survey.servers.push_back(Server{root, proc.command(root), std::move(listen)});
    } else if (any_refused(proc, tree)) {
      survey.refused.push_back(root);
    } else {
      ++survey.silent;
    }
  }
  return survey;
}

std::string count_of(std::size_t number, const std::string& one, const std::string& many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

std::string called(const ProcFs& proc, pid_t pid) {
  return std::to_string(pid) + " (" + shown(proc.command(pid), kCommandShown) + ")";
}

// One line for each server, each a command to copy.
std::string commands_to_pick(const std::vector<Server>& servers) {
  std::string text;
  for (const Server& server : servers) {
    std::string listen;
    for (const std::string& address : server.listen) {
      listen += (listen.empty() ? "" : ", ") + address;
    }
    text += "\n  sudo monitor --pid " + std::to_string(server.pid) + "    # " + shown(listen, kListenShown) + "  " +
            shown(server.command, kCommandShown);
  }
  return text;
}

// What to do next, by what is there; `otherwise` when no server is.
std::string hint_at(const std::vector<Server>& servers, const std::string& otherwise) {
  if (servers.empty()) {
    return otherwise;
  }
  return (servers.size() == 1 ? "one server was found on this machine:" : "these servers were found on this machine:") +
         commands_to_pick(servers);
}

Error refused_descriptors(const ProcFs& proc, pid_t pid) {
  return Error{ErrorCode::kNotPermitted,
               "the sockets of process " + called(proc, pid) + " cannot be seen: reading " + proc.path() + "/" +
                   std::to_string(pid) +
                   "/fd is not permitted; CAP_SYS_PTRACE is needed, and CAP_DAC_READ_SEARCH for another user's process",
               "run it with sudo"};
}

Error does_not_listen(const ProcFs& proc, pid_t pid, std::size_t descendants) {
  const std::string tree =
      descendants == 0 ? " has" : " and its " + count_of(descendants, "descendant", "descendants") + " have";
  return Error{ErrorCode::kNoTarget,
               "process " + called(proc, pid) + tree + " no listening socket: looked at " + proc.path() + "/" +
                   std::to_string(pid) + "/net/tcp, tcp6 and unix",
               hint_at(look_around(proc).servers,
                       "give the pid of the process that serves, or of its parent; a server that is just starting "
                       "listens only once its application is loaded")};
}

Result<Server> server_of(const ProcFs& proc, pid_t pid) {
  auto process = proc.process(pid);
  if (!process) {
    Error error = std::move(process).error();
    if (error.code == ErrorCode::kNoTarget) {
      error.hint = hint_at(look_around(proc).servers, "see which servers run: pgrep -af 'uvicorn|gunicorn|hypercorn'");
    }
    return error;
  }
  const std::vector<pid_t> tree = proc.tree(pid);
  if (tree.empty()) {
    const auto group = proc.thread_group(pid);
    if (group && *group != pid) {
      const std::string owner = std::to_string(*group);
      return Error{ErrorCode::kNoTarget, std::to_string(pid) + " is no process but a thread of process " + owner,
                   "sudo monitor --pid " + owner};
    }
    return Error{ErrorCode::kNoTarget, "no process " + std::to_string(pid) + ": it has just ended", ""};
  }
  std::vector<std::string> listen = proc.listening(tree);
  if (listen.empty()) {
    return any_refused(proc, tree) ? refused_descriptors(proc, pid) : does_not_listen(proc, pid, tree.size() - 1);
  }
  return Server{pid, proc.command(pid), std::move(listen)};
}

Result<Server> server_of_file(const ProcFs& proc, const std::string& path) {
  const auto pid = read_pid_file(path);
  if (!pid) {
    return pid.error();
  }
  auto server = server_of(proc, *pid);
  if (server) {
    return server;
  }
  Error error = std::move(server).error();
  return std::move(error).within("PID file " + shown(path, 4096) + " names " + std::to_string(*pid));
}

// The pid file is there by default only: when it leads nowhere, say which server does run.
Result<Server> server_of_default_file(const ProcFs& proc, const std::string& path) {
  auto server = server_of_file(proc, path);
  if (server || server.error().code == ErrorCode::kNotPermitted) {
    return server;
  }
  Error error = std::move(server).error();
  error.hint = hint_at(look_around(proc).servers, error.hint);
  return error;
}

Result<Server> the_one_server(const ProcFs& proc, const std::string& default_pid_file,
                              const std::vector<pid_t>& known) {
  if (known.size() == 1) {
    return Server{known.front(), proc.command(known.front()), {}};  // however many others there are
  }
  Survey survey = look_around(proc, known);
  if (survey.servers.size() == 1) {
    return std::move(survey.servers.front());
  }
  if (survey.servers.size() > 1) {
    return Error{ErrorCode::kNoTarget,
                 std::to_string(survey.servers.size()) + " servers run on this machine, and none of them was named",
                 "name the one that is meant:" + commands_to_pick(survey.servers)};
  }
  if (!survey.refused.empty()) {
    return refused_descriptors(proc, survey.refused.front());
  }
  const std::string silent = survey.silent == 0 ? ""
                                                : " (" + std::to_string(survey.silent) +
                                                      (survey.silent == 1 ? " by that name listens nowhere)"
                                                                          : " by that name listen nowhere)");
  return Error{ErrorCode::kNoTarget,
               no_pid_file(default_pid_file) +
                   ", and no uvicorn, gunicorn or hypercorn process that listens was found among the " +
                   count_of(survey.processes, "process", "processes") + " of " + proc.path() + silent,
               "start the server, or name its process: sudo monitor --pid N"};
}

}  // namespace

FoundServers find_servers(const ProcFs& proc, const std::vector<pid_t>& known) {
  Survey survey = look_around(proc, known);
  FoundServers found{std::move(survey.servers), {}};
  for (const pid_t pid : survey.refused) {
    found.refused.emplace_back(pid, refused_descriptors(proc, pid));
  }
  return found;
}

Result<Server> resolve_server(const ProcFs& proc, const ServerRequest& request) {
  if (request.pid) {
    return server_of(proc, *request.pid);
  }
  if (request.pid_file) {
    return server_of_file(proc, *request.pid_file);
  }
  if (pid_file_exists(request.default_pid_file)) {
    return server_of_default_file(proc, request.default_pid_file);
  }
  return the_one_server(proc, request.default_pid_file, request.known);
}

}  // namespace monitor
