// SPDX-License-Identifier: Apache-2.0
// Resolves the operator's request to one of the servers of a survey, or to an error that names where it searched.
#include "host/find_server.h"

#include <algorithm>
#include <array>
#include <climits>
#include <iterator>
#include <map>
#include <set>
#include <string_view>
#include <utility>

#include "host/command_line.h"
#include "host/pid_file.h"
#include "host/program_reader.h"
#include "host/starting.h"
#include "host/survey.h"
#include "model/listeners.h"

namespace monitor {
namespace {

// The most characters that a message shows of a server's command and addresses.
constexpr std::size_t kMaxCommand = 60;
constexpr std::size_t kMaxAddresses = 120;

std::string count_of(std::size_t number, const std::string& one, const std::string& many) {
  return std::to_string(number) + " " + (number == 1 ? one : many);
}

// One line per server: a command that the operator can copy.
std::string commands_to_pick(const std::vector<Server>& servers) {
  std::string text;
  for (const Server& server : servers) {
    std::string listen;
    for (const std::string& address : server.listen) {
      if (!is_internal_address(address) || server.listen.size() == 1) {
        listen += (listen.empty() ? "" : ", ") + address;
      }
    }
    text += "\n  sudo monitor --pid " + std::to_string(server.pid) + "    # " + printable(listen, kMaxAddresses) +
            "  " + printable(server.title, kMaxCommand) +
            (is_guess(server.evidence) ? "  (" + std::string(evidence_text(server.evidence)) + ")" : "");
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
               "the sockets of " + process_called(proc, pid) + " cannot be seen: reading " + proc.path() + "/" +
                   std::to_string(pid) +
                   "/fd is not permitted; CAP_SYS_PTRACE is needed, and CAP_DAC_READ_SEARCH for another user's process",
               "run it with sudo"};
}

// Strangers come after what the operator wants to know: why this server does not listen.
Error starting_server(const ProcFs& proc, const std::vector<pid_t>& tree, std::vector<Server> others) {
  Error error = still_starting(proc, tree);
  std::erase_if(others, [](const Server& server) { return is_guess(server.evidence); });
  if (!others.empty()) {
    error.hint += "\n" + hint_to_pick(others, "");
  }
  return error;
}

Error does_not_listen(const ProcFs& proc, const std::vector<pid_t>& processes) {
  if (has_server_by_name(proc, processes)) {
    return starting_server(proc, processes, survey_machine(proc).servers);
  }
  const pid_t pid = processes.front();
  const std::size_t descendants = processes.size() - 1;
  const std::string tree =
      descendants == 0 ? " has" : " and its " + count_of(descendants, "descendant", "descendants") + " have";
  return Error{ErrorCode::kNoTarget,
               process_called(proc, pid) + tree + " no listening socket: looked at " + proc.path() + "/" +
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
      error.hint = hint_to_pick(survey_machine(proc).servers, "no server was found on this machine: start one");
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
    return any_refused(proc, tree) ? refused_descriptors(proc, pid) : does_not_listen(proc, tree);
  }
  Server server = named_server(proc, pid);
  server.listen = std::move(listen);
  return server;
}

Result<Server> server_of_pid_file(const ProcFs& proc, const std::string& path, pid_t pid) {
  return within("PID file " + printable(path, PATH_MAX) + " names " + std::to_string(pid), server_of(proc, pid));
}

Result<Server> server_of_file(const ProcFs& proc, const std::string& path) {
  return server_of_pid_file(proc, path, TRY(read_pid_file(path)));
}

// Whether a process of the tree runs Python, or starts a server by name.
bool can_be_server(const ProcFs& proc, const std::vector<pid_t>& tree) {
  ProgramReader programs;
  return has_server_by_name(proc, tree) || std::any_of(tree.begin(), tree.end(), [&](pid_t pid) {
           const std::string executable = proc.executable(pid);
           return executable.empty() || is_python(executable) || programs.embeds_python(proc, pid, executable);
         });
}

// The operator did not name this PID file, so if it holds no pid the hint lists the servers that do run.
Result<Server> server_of_default_file(const ProcFs& proc, const std::string& path) {
  Result<pid_t> pid = read_pid_file(path);
  if (pid) {
    Result<Server> server = server_of_pid_file(proc, path, *pid);
    if (!server || can_be_server(proc, proc.tree(*pid))) {
      return server;
    }
    // Its server has ended without removing the file, and another process has the pid.
    pid = Error{ErrorCode::kNoTarget,
                "PID file " + printable(path, PATH_MAX) + " names " + process_called(proc, *pid) +
                    ", which is not a server as far as its program shows",
                "remove the file, or name the process: sudo monitor --pid N"};
  }
  Error error = std::move(pid).error();
  error.hint = hint_to_pick(survey_machine(proc).servers, error.hint);
  return error;
}

// The strength by which a search chooses.
Evidence strength(const Server& server) {
  return server.evidence == Evidence::kModules ? Evidence::kScript : server.evidence;
}

// Whether the server has the strength and is not in the tree of another one that has it, too: an application comes
// before the servers that it starts.
bool is_outermost(const Server& server, const std::vector<Server>& servers, Evidence wanted) {
  if (strength(server) != wanted) {
    return false;
  }
  const Server* inner = &server;
  for (std::size_t steps = 0; inner->outer != 0 && steps < servers.size(); ++steps) {
    const auto outer = std::find_if(servers.begin(), servers.end(),
                                    [inner](const Server& other) { return other.pid == inner->outer; });
    if (outer == servers.end() || strength(*outer) == wanted) {
      return outer == servers.end();
    }
    inner = &*outer;
  }
  return true;
}

bool has_listener(const Server& server, const ListenerChoice& choice) {
  return std::any_of(server.listen.begin(), server.listen.end(),
                     [&choice](const std::string& address) { return choice.names(address); });
}

Result<Server> only_server(const ProcFs& proc, const ServerRequest& request) {
  const std::vector<pid_t>& known = request.known;
  if (known.size() == 1 && !request.listeners.is_restricted()) {
    // The operator chose it when it was attached, so other servers do not matter. A search would also take longer than
    // the snapshot of an attached server.
    return named_server(proc, known.front(), Evidence::kAttached);
  }
  Survey survey = survey_machine(proc, nullptr, known);
  std::vector<Server>& servers = survey.servers;
  if (request.listeners.is_restricted() && !servers.empty()) {
    const std::vector<Server> all = servers;
    std::erase_if(servers, [&](const Server& server) { return !has_listener(server, request.listeners); });
    if (servers.empty()) {
      return Error{ErrorCode::kNoTarget, "no server on this machine has such a listener", hint_to_pick(all, "")};
    }
  }
  if (!survey.starting.empty() && (servers.empty() || is_guess(servers.front().evidence))) {
    return starting_server(proc, survey.starting.front(), {});
  }
  const auto is_candidate = [&](const Server& server) {
    return is_outermost(server, servers, strength(servers.front()));
  };
  const auto strongest = std::count_if(servers.begin(), servers.end(), is_candidate);
  if (strongest == 1) {
    const auto chosen = std::find_if(servers.begin(), servers.end(), is_candidate);
    Server server = std::move(*chosen);
    servers.erase(chosen);
    server.passed_over = std::move(servers);
    for (const std::vector<pid_t>& tree : survey.starting) {
      server.passed_over.push_back(named_server(proc, tree.front(), Evidence::kCommand));
    }
    return server;
  }
  if (strongest > 1) {
    const auto certain =
        std::count_if(servers.begin(), servers.end(), [](const Server& server) { return !is_guess(server.evidence); });
    return Error{ErrorCode::kNoTarget,
                 std::to_string(certain == 0 ? strongest : certain) +
                     (certain == 0 ? " processes on this machine may be servers: each is a Python that listens"
                                   : " servers run on this machine"),
                 "choose one:" + commands_to_pick(servers)};
  }
  if (!survey.refused.empty()) {
    return refused_descriptors(proc, survey.refused.front());
  }
  return Error{ErrorCode::kNoTarget,
               missing_pid_file(request.default_pid_file) +
                   ", and no HTTP server in Python that listens was found among the " +
                   count_of(survey.processes, "process", "processes") + " of " + proc.path(),
               "start the server, or name its process: sudo monitor --pid N"};
}

}  // namespace

FoundServers find_servers(const ProcFs& proc, const std::vector<pid_t>& known, Guesses guesses,
                          ProgramReader* programs) {
  Survey survey = survey_machine(proc, programs, known);
  FoundServers found{std::move(survey.servers), {}, {}};
  if (guesses == Guesses::kLeaveOut) {
    std::erase_if(found.servers, [](const Server& server) { return is_guess(server.evidence); });
  }
  for (const pid_t pid : survey.refused) {
    found.refused.emplace_back(pid, refused_descriptors(proc, pid));
  }
  for (const std::vector<pid_t>& tree : survey.starting) {
    found.starting.push_back(still_starting(proc, tree));
  }
  return found;
}

Server named_server(const ProcFs& proc, pid_t pid, Evidence evidence) {
  Server server = described(read_command_line(proc, pid), proc.command(pid));
  server.pid = pid;
  server.evidence = evidence;
  return server;
}

Result<Server> resolve_server(const ProcFs& proc, const ServerRequest& request) {
  if (request.pid) {
    return server_of(proc, *request.pid);
  }
  if (request.pid_file) {
    return server_of_file(proc, *request.pid_file);
  }
  if (pid_file_exists(request.default_pid_file) && !request.listeners.is_restricted()) {
    return server_of_default_file(proc, request.default_pid_file);
  }
  return only_server(proc, request);
}

}  // namespace monitor
