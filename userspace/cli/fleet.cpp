// SPDX-License-Identifier: Apache-2.0
#include "cli/fleet.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <utility>

#include "cli/privileges.h"

namespace monitor {
namespace {

// Looking at every process of the machine takes a few milliseconds.
constexpr std::chrono::seconds kLookAroundEvery{1};

// Servers that an engine of our own has room for with --all, a few kB each.
constexpr std::uint32_t kMostOfAll = 256;

EngineOptions with_room(EngineOptions choice, const Selection& selection) {
  choice.max_targets =
      std::max({choice.max_targets, static_cast<std::uint32_t>(selection.pids.size()), selection.all ? kMostOfAll : 0});
  return choice;
}

// Whether the failure may come from what only a process with more rights can see.
bool may_be_hidden(const ServerRequest& request, const Error& error) {
  if (can_look_into_processes() || error.code != ErrorCode::kNoTarget) {
    return error.code == ErrorCode::kNotPermitted;
  }
  if (request.pid) {
    return ::kill(*request.pid, 0) == 0 || errno == EPERM;
  }
  return !request.pid_file || ::faccessat(AT_FDCWD, request.pid_file->c_str(), R_OK, AT_EACCESS) == 0;
}

// Finds a server. To whoever may not look into other users' processes they seem to listen nowhere: then what is
// missing are capabilities, and the engine can name all of them.
Result<Server> locate(const ProcFs& proc, const ServerRequest& request, const EngineOptions& choice) {
  Result<Server> server = resolve_server(proc, request);
  if (server || !may_be_hidden(request, server.error())) {
    return server;
  }
  Result<Engine> engine = Engine::load(choice);
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

Error nothing_found() {
  return Error{ErrorCode::kNoTarget, "no uvicorn, gunicorn or hypercorn that listens was found on this machine",
               "start one, or name a process: monitor --pid N"};
}

}  // namespace

Result<FoundServers> find_selected(const ProcFs& proc, const Selection& selection, const Attached& attached,
                                   const EngineOptions& choice) {
  const std::vector<pid_t> known = roots(attached);
  if (selection.all) {
    FoundServers found = find_servers(proc, known);
    if (found.servers.empty()) {
      return found.refused.empty() ? nothing_found() : std::move(found.refused.front().second);
    }
    return found;
  }
  std::vector<ServerRequest> requests;
  for (const pid_t pid : selection.pids) {
    requests.push_back(ServerRequest{.pid = pid, .pid_file = {}});
  }
  if (requests.empty()) {
    requests.push_back(ServerRequest{.pid = {}, .pid_file = selection.pid_file, .known = known});
  }
  std::vector<Server> servers;
  for (const ServerRequest& request : requests) {
    // One that is attached is known, whether it listens now or not.
    if (request.pid && attached.find(*request.pid)) {
      servers.push_back(Server{*request.pid, proc.command(*request.pid), {}});
      continue;
    }
    Result<Server> server = locate(proc, request, choice);
    if (!server) {
      return std::move(server).error();
    }
    servers.push_back(*std::move(server));
  }
  return FoundServers{std::move(servers), {}};
}

Fleet::Fleet(const ObserveOptions& options, Attached attached, Say say)
    : choice_(with_room(options.engine, options.servers)),
      pins_(options.pins),
      all_(options.servers.all),
      system_(options.system),
      attached_(std::move(attached)),
      looked_around_(std::chrono::steady_clock::now()),
      say_(std::move(say)) {}

Result<Fleet> Fleet::begin(const ObserveOptions& options, Say say, bool begin_with_none) {
  const ProcFs proc;
  Result<Attached> attached = open_attached(Pins(options.pins), proc);
  if (!attached) {
    return std::move(attached).error();
  }
  Fleet fleet(options, *std::move(attached), std::move(say));
  Result<FoundServers> found = find_selected(proc, options.servers, fleet.attached_, fleet.choice_);
  if (!found && begin_with_none && options.servers.all && found.error().code == ErrorCode::kNoTarget) {
    // Servers may also be none to whoever may not look at them: what is missing is said now, and not when one comes.
    Result<std::shared_ptr<Engine>> engine = fleet.own_engine();
    return engine ? Result<Fleet>(std::move(fleet)) : std::move(engine).error();
  }
  if (!found) {
    return std::move(found).error();
  }
  std::vector<Error> failures;
  for (const Server& server : found->servers) {
    Status status = options.servers.all ? fleet.try_to_add(server) : fleet.add(server);
    if (status) {
      continue;
    }
    if (!options.servers.all) {
      return std::move(status).error();
    }
    failures.push_back(std::move(status).error());
  }
  if (fleet.observed_.empty()) {
    return failures.empty() ? nothing_found() : std::move(failures.front());
  }
  fleet.say_refused(*found);
  std::for_each(failures.begin(), failures.end(), fleet.say_);
  return fleet;
}

bool Fleet::knows(pid_t pid) const {
  return std::any_of(observed_.begin(), observed_.end(),
                     [pid](const Observation& observation) { return observation.identity().pid == pid; });
}

Status Fleet::add(const Server& server) {
  if (knows(server.pid)) {
    return Ok{};
  }
  const auto start = std::chrono::steady_clock::now();
  Result<Observation> observation = observe(server);
  if (!observation) {
    return std::move(observation).error();
  }
  const std::chrono::duration<double, std::milli> took = std::chrono::steady_clock::now() - start;
  observed_.push_back(*std::move(observation));
  if (!choice_.verbose) {
    return Ok{};
  }
  const auto tell = [this](std::string text) { say_(Error{ErrorCode::kFailed, std::move(text), ""}); };
  tell(fmt::format("following pid {}: {}", server.pid, server.command));
  for (const std::string& address : server.listen) {
    tell(fmt::format("it listens on {}", address));
  }
  const Engine& engine = observed_.back().engine();
  const Result<EngineInfo> info = engine.info();
  tell(fmt::format("{} in {:.0f} ms, profile {}", engine.is_pinned() ? "found attached" : "loaded and attached",
                   took.count(), info ? info->profile : "unknown"));
  return Ok{};
}

Result<Observation> Fleet::observe(const Server& server) {
  Result<Root> root = open_root(ProcFs(), server.pid);
  if (!root) {
    return std::move(root).error();
  }
  const std::optional<TargetInfo> target = attached_.find(server.pid);
  if (!target || target->root != root->identity) {
    Result<std::shared_ptr<Engine>> engine = own_engine();
    return engine ? Observation::begin(*engine, *std::move(root)) : std::move(engine).error();
  }
  if (Status status = check_choice(choice_, *attached_.engine); !status) {
    return std::move(status).error();
  }
  Result<Fd> viewer = pins_.view(target->index);
  return viewer ? Observation::join(attached_.engine, *target, *std::move(root), *std::move(viewer))
                : std::move(viewer).error();
}

Result<std::shared_ptr<Engine>> Fleet::own_engine() {
  if (own_) {
    return own_;
  }
  Result<Engine> engine = Engine::load(choice_);
  if (!engine) {
    return std::move(engine).error();
  }
  own_ = std::make_shared<Engine>(*std::move(engine));
  return own_;
}

// Whether that is news.
bool Fleet::give_up(const ProcessIdentity& identity) {
  const bool known = std::find(given_up_.begin(), given_up_.end(), identity) != given_up_.end();
  if (!known) {
    given_up_.push_back(identity);
  }
  return !known;
}

void Fleet::say_refused(const FoundServers& found) {
  for (const auto& [pid, error] : found.refused) {
    const Result<Root> root = open_root(ProcFs(), pid);
    if (root && give_up(root->identity)) {
      say_(error);
    }
  }
}

// What cannot be observed fails once, and is left alone from then on. That it has just ended is no failure, nor that it
// is what is left of a server that has.
Status Fleet::try_to_add(const Server& server) {
  const Result<Root> root = open_root(ProcFs(), server.pid);
  if (!root || std::find(given_up_.begin(), given_up_.end(), root->identity) != given_up_.end()) {
    return Ok{};
  }
  Status status = add(server);
  const bool one_has_ended = std::any_of(observed_.begin(), observed_.end(),
                                         [](const Observation& observation) { return observation.has_ended_since(); });
  if (status || root->has_ended() || one_has_ended) {
    return Ok{};
  }
  give_up(root->identity);
  return std::move(status).error().within(fmt::format("pid {}", server.pid));
}

// Servers that came since.
void Fleet::take_in_new() {
  const auto now = std::chrono::steady_clock::now();
  if (!all_ || now - looked_around_ < kLookAroundEvery) {
    return;
  }
  looked_around_ = now;
  const FoundServers found = find_servers(ProcFs());
  say_refused(found);
  for (const Server& server : found.servers) {
    if (Status status = try_to_add(server); !status) {
      say_(status.error());
    }
  }
}

Result<Look> Fleet::look() {
  Look look;
  std::vector<pid_t> over;
  for (Observation& observation : observed_) {
    const pid_t pid = observation.identity().pid;
    Result<Snapshot> snapshot = observation.look(system_);
    const bool lost = !snapshot;
    if (snapshot) {
      look.snapshots.push_back(*std::move(snapshot));
    } else if (snapshot.error().code != ErrorCode::kNoTarget || (!all_ && observed_.size() == 1)) {
      return std::move(snapshot).error();
    } else if (!observation.has_ended()) {
      say_(std::move(snapshot).error().within(fmt::format("pid {}", pid)));  // one of several was detached
    }
    if (observation.has_ended()) {
      ended_.push_back(pid);
    }
    if (observation.has_ended() || lost) {
      static_cast<void>(observation.leave());
      over.push_back(pid);
    }
  }
  const auto is_over = [&over](pid_t pid) { return std::find(over.begin(), over.end(), pid) != over.end(); };
  std::erase_if(observed_, [&](const Observation& observation) { return is_over(observation.identity().pid); });
  std::erase_if(attached_.targets, [&](const TargetInfo& target) { return is_over(target.root.pid); });
  take_in_new();  // behind what ended: the workers that a killed supervisor left are a server by themselves
  look.server_ended = observed_.empty() && !all_;
  return look;
}

std::vector<int> Fleet::ended_fds() const {
  std::vector<int> fds;
  for (const Observation& observation : observed_) {
    fds.push_back(observation.ended_fd());
  }
  return fds;
}

bool Fleet::is_attached() const {
  return std::all_of(observed_.begin(), observed_.end(),
                     [](const Observation& observation) { return observation.engine().is_pinned(); });
}

}  // namespace monitor
