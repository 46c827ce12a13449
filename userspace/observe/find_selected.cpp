// SPDX-License-Identifier: Apache-2.0
#include "observe/find_selected.h"

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <cerrno>
#include <utility>
#include <vector>

#include "base/privileges.h"

namespace monitor {
namespace {

// Whether more rights might have let this process find the server.
bool may_be_hidden(const ServerRequest& request, const Error& error) {
  if (can_inspect_processes() || error.code != ErrorCode::kNoTarget) {
    return error.code == ErrorCode::kNotPermitted;
  }
  if (request.pid) {
    return ::kill(*request.pid, 0) == 0 || errno == EPERM;
  }
  return !request.pid_file || ::faccessat(AT_FDCWD, request.pid_file->c_str(), R_OK, AT_EACCESS) == 0;
}

// Finds one server. Without the right to inspect other users' processes, these seem to listen nowhere. Then
// loads the engine, only for its error: that one names all capabilities that are missing.
Result<Server> locate(const ProcFs& proc, const ServerRequest& request, const EngineOptions& options) {
  Result<Server> server = resolve_server(proc, request);
  if (server || !may_be_hidden(request, server.error())) {
    return server;
  }
  Result<Engine> engine = Engine::load(options);
  if (!engine && engine.error().code == ErrorCode::kNotPermitted) {
    return std::move(engine).error();
  }
  return server;
}

std::vector<pid_t> roots(const Attached& attached) {
  std::vector<pid_t> pids;
  for (const TargetInfo& target : attached.targets) {
    pids.push_back(target.root.pid);
  }
  return pids;
}

std::vector<ServerRequest> requests_for(const Selection& selection, const std::vector<pid_t>& known,
                                        const ListenerChoice& listeners) {
  ServerRequest request{.pid = {}, .pid_file = selection.pid_file, .command = selection.command};
  if (selection.pids.empty()) {
    request.known = known;
    request.listeners = listeners;
    request.name_others = selection.name_others;
    return {request};
  }
  std::vector<ServerRequest> requests(selection.pids.size(), request);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    requests[i].pid = selection.pids[i];
  }
  return requests;
}

}  // namespace

Error no_server_found() {
  return Error{ErrorCode::kNoTarget,
               "no uvicorn, gunicorn or hypercorn is listening on this machine, nor another HTTP server in Python",
               "start one, or name a process: monitor --pid N; monitor ls also lists guesses"};
}

Guesses guesses(const Selection& selection) {
  return selection.guess ? Guesses::kTakeIn : Guesses::kLeaveOut;
}

std::string describe(const Server& server) {
  std::string text = "pid " + std::to_string(server.pid);
  for (const std::string& address : server.listen) {
    text += (&address == &server.listen.front() ? " on " : ", ") + address;
  }
  text += ": " + server.title;
  if (is_guess(server.evidence)) {
    text += " (" + std::string(evidence_text(server.evidence)) + ")";
  } else if (server.listen.empty() && server.evidence == Evidence::kCommand) {
    text += " (does not listen yet)";
  }
  return text;
}

Result<FoundServers> find_selected(const ProcFs& proc, const Selection& selection, const Attached& attached,
                                   const EngineOptions& options, ProgramReader& programs,
                                   const ListenerChoice& listeners) {
  const std::vector<pid_t> known = roots(attached);
  FoundServers found;
  if (selection.all) {
    found = find_servers(proc, known, guesses(selection), &programs);
    if (found.servers.empty()) {
      if (!found.refused.empty()) {
        return std::move(found.refused.front().second);
      }
      return found.starting.empty() ? no_server_found() : std::move(found.starting.front());
    }
    return found;
  }
  for (const ServerRequest& request : requests_for(selection, known, listeners)) {
    if (const auto target = request.pid ? attached.find(*request.pid) : std::nullopt) {
      // The engine counts it already, so it need not listen now.
      found.servers.push_back(named_server(proc, target->root.pid, Evidence::kAttached));
    } else {
      found.servers.push_back(TRY(locate(proc, request, options)));
    }
  }
  return found;
}

}  // namespace monitor
