// SPDX-License-Identifier: Apache-2.0
// Searches all processes for servers, and resolves the operator's request to one of them or to an error that names
// where it searched. A process is a server only if its tree listens: any program can be called uvicorn.
#include "host/find_server.h"

#include <algorithm>
#include <climits>
#include <utility>

#include "host/command_line.h"
#include "host/pid_file.h"

namespace monitor {
namespace {

// The most characters that a message shows of a server's command and addresses.
constexpr std::size_t kMaxCommand = 60;
constexpr std::size_t kMaxAddresses = 120;

// The result of a search of the whole machine.
struct Survey {
  std::vector<Server> servers;
  std::vector<pid_t> refused;     // have a server's name, but we are not permitted to see their descriptors
  std::size_t not_listening = 0;  // have a server's name, but no listening socket
  std::size_t processes = 0;      // examined in total
};

bool any_refused(const ProcFs& proc, const std::vector<pid_t>& tree) {
  return std::any_of(tree.begin(), tree.end(), [&](pid_t pid) { return proc.descriptors_refused(pid); });
}

// The processes that have a server's name or are known to be servers, without descendants of such processes.
std::vector<pid_t> server_roots(const ProcFs& proc, const ProcessParents& parents, const std::vector<pid_t>& known) {
  std::vector<pid_t> named;  // sorted, since the map is
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

Survey survey_machine(const ProcFs& proc, const std::vector<pid_t>& known = {}) {
  const ProcessParents parents = proc.parents();
  Survey survey;
  survey.processes = parents.size();
  for (const pid_t root : server_roots(proc, parents, known)) {
    const std::vector<pid_t> tree = process_tree(parents, root);
    std::vector<std::string> listen = proc.listening(tree);
    if (!listen.empty()) {
      survey.servers.push_back(Server{root, proc.command(root), std::move(listen)});
    } else if (any_refused(proc, tree)) {
      survey.refused.push_back(root);
    } else {
      ++survey.not_listening;
    }
  }
  return survey;
}

std::string count_of(std::size_t number, const std::string& one, const std::string& many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

std::string pid_and_command(const ProcFs& proc, pid_t pid) {
  return std::to_string(pid) + " (" + printable(proc.command(pid), kMaxCommand) + ")";
}

// One line per server: a command that the operator can copy.
std::string commands_to_pick(const std::vector<Server>& servers) {
  std::string text;
  for (const Server& server : servers) {
    std::string listen;
    for (const std::string& address : server.listen) {
      listen += (listen.empty() ? "" : ", ") + address;
    }
    text += "\n  sudo monitor --pid " + std::to_string(server.pid) + "    # " + printable(listen, kMaxAddresses) +
            "  " + printable(server.command, kMaxCommand);
  }
  return text;
}

// Returns a hint that lists the servers, or `otherwise` if no server was found.
std::string hint_to_pick(const std::vector<Server>& servers, const std::string& otherwise) {
  if (servers.empty()) {
    return otherwise;
  }
  return (servers.size() == 1 ? "one server was found on this machine:" : "these servers were found on this machine:") +
         commands_to_pick(servers);
}

Error refused_descriptors(const ProcFs& proc, pid_t pid) {
  return Error{ErrorCode::kNotPermitted,
               "the sockets of process " + pid_and_command(proc, pid) + " cannot be seen: reading " + proc.path() +
                   "/" + std::to_string(pid) +
                   "/fd is not permitted; CAP_SYS_PTRACE is needed, and CAP_DAC_READ_SEARCH for another user's process",
               "run it with sudo"};
}

Error does_not_listen(const ProcFs& proc, pid_t pid, std::size_t descendants) {
  const std::string tree =
      descendants == 0 ? " has" : " and its " + count_of(descendants, "descendant", "descendants") + " have";
  return Error{ErrorCode::kNoTarget,
               "process " + pid_and_command(proc, pid) + tree + " no listening socket: looked at " + proc.path() + "/" +
                   std::to_string(pid) + "/net/tcp, tcp6 and unix",
               hint_to_pick(survey_machine(proc).servers,
                            "give the pid of the process that serves, or of its parent; a starting server "
                            "listens only once its application is loaded")};
}

Result<Server> server_of(const ProcFs& proc, pid_t pid) {
  auto process = proc.process(pid);
  if (!process) {
    Error error = std::move(process).error();
    if (error.code == ErrorCode::kNoTarget) {
      error.hint =
          hint_to_pick(survey_machine(proc).servers, "see which servers run: pgrep -af 'uvicorn|gunicorn|hypercorn'");
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
    return Error{ErrorCode::kNoTarget, "no process " + std::to_string(pid) + ": it has just ended"};
  }
  std::vector<std::string> listen = proc.listening(tree);
  if (listen.empty()) {
    return any_refused(proc, tree) ? refused_descriptors(proc, pid) : does_not_listen(proc, pid, tree.size() - 1);
  }
  return Server{pid, proc.command(pid), std::move(listen)};
}

Result<Server> server_of_file(const ProcFs& proc, const std::string& path) {
  const pid_t pid = TRY(read_pid_file(path));
  return within("PID file " + printable(path, PATH_MAX) + " names " + std::to_string(pid), server_of(proc, pid));
}

// The operator did not name this PID file, so if it leads to no server the hint lists the servers that do run.
Result<Server> server_of_default_file(const ProcFs& proc, const std::string& path) {
  auto server = server_of_file(proc, path);
  if (server || server.error().code == ErrorCode::kNotPermitted) {
    return server;
  }
  Error error = std::move(server).error();
  error.hint = hint_to_pick(survey_machine(proc).servers, error.hint);
  return error;
}

Result<Server> only_server(const ProcFs& proc, const std::string& default_pid_file, const std::vector<pid_t>& known) {
  if (known.size() == 1) {
    return Server{known.front(), proc.command(known.front()), {}};  // no matter how many other servers run
  }
  Survey survey = survey_machine(proc, known);
  if (survey.servers.size() == 1) {
    return std::move(survey.servers.front());
  }
  if (survey.servers.size() > 1) {
    return Error{ErrorCode::kNoTarget, std::to_string(survey.servers.size()) + " servers run on this machine",
                 "choose one:" + commands_to_pick(survey.servers)};
  }
  if (!survey.refused.empty()) {
    return refused_descriptors(proc, survey.refused.front());
  }
  const std::size_t others = survey.not_listening;
  const std::string not_listening =
      others == 0 ? ""
                  : " (" + std::to_string(others) +
                        (others == 1 ? " by that name listens nowhere)" : " by that name listen nowhere)");
  return Error{ErrorCode::kNoTarget,
               missing_pid_file(default_pid_file) +
                   ", and no uvicorn, gunicorn or hypercorn process that listens was found among the " +
                   count_of(survey.processes, "process", "processes") + " of " + proc.path() + not_listening,
               "start the server, or name its process: sudo monitor --pid N"};
}

}  // namespace

FoundServers find_servers(const ProcFs& proc, const std::vector<pid_t>& known) {
  Survey survey = survey_machine(proc, known);
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
  return only_server(proc, request.default_pid_file, request.known);
}

}  // namespace monitor
