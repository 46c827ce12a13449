// SPDX-License-Identifier: Apache-2.0
#include "observe/fleet.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/contains.h"
#include "observe/find_selected.h"

namespace monitor {
namespace {

// Room for targets with --all, in an engine of our own. A target takes a few kB.
constexpr std::uint32_t kTargetsForAll = 256;

EngineOptions with_room(EngineOptions options, const Selection& selection) {
  options.max_targets = std::max(
      {options.max_targets, static_cast<std::uint32_t>(selection.pids.size()), selection.all ? kTargetsForAll : 0});
  return options;
}

std::string handed_over(const Handover& handover) {
  return fmt::format("the server (pid {}) has ended; pid {} serves on {} and is followed", handover.from, handover.to,
                     handover.address);
}

// Reports pids that the operator named and that have handed over while only the attached engine counted.
void report_earlier_handovers(const ProcFs& proc, const std::vector<pid_t>& pids, const Attached& attached,
                              const Notices& notices) {
  for (const pid_t pid : pids) {
    const std::optional<TargetInfo> target = attached.find(pid);
    if (!target || target->root.pid == pid) {
      continue;
    }
    const std::vector<std::string> listen = proc.listening(proc.tree(target->root.pid));
    notices.changed(handed_over({pid, target->root.pid, listen.empty() ? "no address" : listen.front()}));
  }
}

}  // namespace

Fleet::Fleet(const ObserveOptions& options, Attached attached, Notices notices)
    : engine_options_(with_room(options.engine, options.servers)),
      pins_(options.pins),
      all_(options.servers.all),
      system_(options.system),
      show_ended_(options.show_ended),
      keep_ended_(options.keep_ended_seconds),
      listeners_(options.listeners),
      attached_(std::move(attached)),
      guesses_(guesses(options.servers)),
      searched_at_(std::chrono::steady_clock::now()),
      notices_(std::move(notices)) {}

Result<Fleet> Fleet::begin(const ObserveOptions& options, Notices notices, bool may_be_empty) {
  const ProcFs proc;
  Attached attached = TRY(open_attached(Pins(options.pins), proc));
  Fleet fleet(options, std::move(attached), std::move(notices));
  Result<FoundServers> found =
      find_selected(proc, options.servers, fleet.attached_, fleet.engine_options_, fleet.programs_, fleet.listeners_);
  if (!found && may_be_empty && fleet.all_ && found.error().code == ErrorCode::kNoTarget) {
    // Missing capabilities can hide servers. Loading the engine reports them now rather than when a server starts.
    TRY(fleet.own_engine());
    return fleet;
  }
  const FoundServers servers = TRY(std::move(found));
  report_earlier_handovers(proc, options.servers.pids, fleet.attached_, fleet.notices_);
  Status added = fleet.add_all(servers);
  if (!added && may_be_empty && fleet.all_ && added.error().code == ErrorCode::kNoTarget) {
    // Those that were found have stopped listening meanwhile, or are about to begin.
    fleet.notices_.failed(added.error());
    TRY(fleet.own_engine());
    return fleet;
  }
  TRY(std::move(added));
  return fleet;
}

void Fleet::note_found(const FoundServers& found) {
  found_.clear();
  std::transform(found.servers.begin(), found.servers.end(), std::back_inserter(found_),
                 [](const Server& server) { return server.pid; });
}

Status Fleet::add_all(const FoundServers& found) {
  if (all_) {
    note_found(found);
  }
  std::vector<Error> failures;
  for (const Server& server : found.servers) {
    if (all_ && attached_.find_beside(server.pid)) {
      continue;  // the server beside which it serves is attached, and counts it
    }
    Status added = all_ ? add_if_new(server) : add(server);
    if (added) {
      continue;
    }
    if (!all_) {
      return added;
    }
    failures.push_back(std::move(added).error());
  }
  if (observed_.empty()) {
    return failures.empty() ? no_server_found() : std::move(failures.front());
  }
  report_refused(found);
  std::for_each(failures.begin(), failures.end(), notices_.failed);
  return Ok{};
}

bool Fleet::has(pid_t pid) const {
  return std::any_of(observed_.begin(), observed_.end(), [pid](const Observation& observation) {
    return observation.identity().pid == pid && !observation.has_ended();
  });
}

Status Fleet::add(const Server& server) {
  if (has(server.pid)) {
    return Ok{};
  }
  const auto start = std::chrono::steady_clock::now();
  observed_.push_back(TRY(observe(server)));
  note_choice(server);
  if (notices_.done) {
    notice_added(server, std::chrono::steady_clock::now() - start);
  }
  return Ok{};
}

void Fleet::note_choice(const Server& server) {
  known_[server.pid] =
      Known{server.evidence, server.title, ProcFs().arguments(server.pid), std::nullopt, false, false, false};
  passed_over_.clear();
  std::string others;
  for (const Server& other : server.passed_over) {
    passed_over_.push_back(describe(other));
    others += is_guess(other.evidence) ? "" : (others.empty() ? "" : "; ") + passed_over_.back();
  }
  if (all_) {
    return;
  }
  if (is_guess(server.evidence)) {
    doubt_ = describe(server);
  } else if (!others.empty()) {
    doubt_ = fmt::format("observing {}; passed over: {}", describe(server), others);
  }
}

void Fleet::notice_added(const Server& server, std::chrono::steady_clock::duration took) const {
  notices_.done(fmt::format("following pid {}: {}", server.pid, server.command));
  for (const std::string& address : server.listen) {
    notices_.done(fmt::format("it listens on {}", address));
  }
  const Engine& engine = observed_.back().engine();
  const Result<EngineInfo> info = engine.info();
  notices_.done(fmt::format("{} in {:.0f} ms, profile {}",
                            engine.is_pinned() ? "found attached" : "loaded and attached",
                            std::chrono::duration<double, std::milli>(took).count(), info ? info->profile : "unknown"));
}

Result<Observation> Fleet::observe(const Server& server) {
  Root root = TRY(open_root(ProcFs(), server.pid));
  const std::optional<TargetInfo> target = attached_.find(server.pid);
  if (!target || target->root != root.identity) {
    std::shared_ptr<Engine> engine = TRY(own_engine());
    return Observation::begin(std::move(engine), std::move(root), found_);
  }
  TRY(check_options(engine_options_, *attached_.engine));
  Fd viewer = TRY(pins_.lock_viewer(target->index));
  Observation observation = TRY(Observation::join(attached_.engine, *target, std::move(root), std::move(viewer)));
  if (target->moved) {
    static_cast<void>(adopt(observation, server.pid));  // with its other processes, of which the kernel saw some only
  }
  return observation;
}

Result<std::shared_ptr<Engine>> Fleet::own_engine() {
  if (!own_) {
    own_ = std::make_shared<Engine>(TRY(Engine::load(engine_options_)));
  }
  return own_;
}

bool Fleet::has_given_up(const ProcessIdentity& identity) const {
  return std::find(given_up_.begin(), given_up_.end(), identity) != given_up_.end();
}

void Fleet::report_refused(const FoundServers& found) {
  for (const auto& [pid, error] : found.refused) {
    const Result<Root> root = open_root(ProcFs(), pid);
    if (root && !has_given_up(root->identity)) {
      given_up_.push_back(root->identity);
      notices_.failed(error);
    }
  }
}

// A server that cannot be observed fails once and is ignored from then on. It is not a failure if the process has just
// ended, or if it is left over from a server that has ended.
Status Fleet::add_if_new(const Server& server) {
  const Result<Root> root = open_root(ProcFs(), server.pid);
  if (!root || has_given_up(root->identity)) {
    return Ok{};
  }
  Status added = add(server);
  const bool one_has_ended = std::any_of(observed_.begin(), observed_.end(),
                                         [](const Observation& observation) { return observation.has_ended_since(); });
  if (added || root->has_ended() || one_has_ended) {
    return Ok{};
  }
  given_up_.push_back(root->identity);
  return within(fmt::format("pid {}", server.pid), std::move(added));
}

void Fleet::note_handover(Observation& observation) {
  if (const std::optional<Handover> handover = observation.take_handover()) {
    Known known = known_[handover->from];
    std::vector<std::string> arguments = ProcFs().arguments(handover->to);
    std::string text = handed_over(*handover);
    if (!arguments.empty() && !is_worker_of(arguments, known.arguments)) {
      const std::string before = std::exchange(known.title, named_server(ProcFs(), handover->to, known.evidence).title);
      text += before == known.title ? "" : fmt::format("; it runs {}, and that one ran {}", known.title, before);
      known.arguments = std::move(arguments);
    }
    known.end_reported = known.wait_reported = false;
    notices_.changed(text);
    known_[handover->to] = std::move(known);
    static_cast<void>(adopt(observation, handover->to));  // with processes that the kernel side has not seen
  }
}

// The kernel side follows a process from the moment when it begins to listen beside the root. It does not see its
// supervisor, nor a worker that has read nothing yet.
void Fleet::note_beside(Observation& observation) {
  const ProcFs proc;
  for (const ProcessIdentity& server : observation.take_new_beside()) {
    notices_.changed(fmt::format("pid {} also serves on {} and is followed with pid {}", server.pid,
                                 observation.address(), observation.identity().pid));
    const Result<std::vector<pid_t>> members = observation.processes();
    const std::vector<pid_t> tree = proc.tree(server.pid);
    if (!members || std::any_of(tree.begin(), tree.end(), [&](pid_t pid) { return !contains(*members, pid); })) {
      static_cast<void>(adopt(observation, server.pid));
    }
  }
}

Status Fleet::add_views(Snapshot snapshot, Sample& sample) {
  std::vector<Snapshot> views = choose_listeners(snapshot, listeners_);
  matched_ = matched_ || !views.empty();
  if (views.empty() && !all_ && observed_.size() == 1) {
    if (!matched_) {
      std::string others;
      for (const std::string& address : snapshot.listen) {
        others += (others.empty() ? "" : ", ") + address;
      }
      return Error{ErrorCode::kNoTarget,
                   fmt::format("pid {} has no such listener; it listens on {}", snapshot.pid, others),
                   "give the port or the address of one of them"};
    }
    views.push_back(restrict_to(snapshot, {}));  // it is closed for now
  }
  std::move(views.begin(), views.end(), std::back_inserter(sample.snapshots));
  return Ok{};
}

Result<bool> Fleet::sample_one(Observation& observation, std::set<std::uint64_t>& counted_queues, Sample& sample) {
  Result<Snapshot> snapshot = observation.snapshot(system_, counted_queues);
  note_handover(observation);
  note_beside(observation);
  const bool lost = !snapshot;
  const bool goes_on = !lost && (!observation.has_ended() || may_go_on(observation));
  Known& known = known_[observation.identity().pid];
  if (snapshot) {
    if (!known.end_reported || show_ended_) {
      complete(*snapshot, known);
      snapshot->ended = observation.has_ended();
      TRY(add_views(*std::move(snapshot), sample));
    }
  } else if (snapshot.error().code != ErrorCode::kNoTarget || (!all_ && observed_.size() == 1)) {
    return std::move(snapshot).error();
  } else if (!observation.has_ended()) {
    // one of several was detached
    notices_.failed(std::move(snapshot).error().within(fmt::format("pid {}", observation.identity().pid)));
  }
  if (observation.has_ended() && (all_ || !goes_on) && !known.end_reported) {
    ended_.push_back(observation.identity().pid);
    known.end_reported = true;
  }
  if (!goes_on) {
    static_cast<void>(observation.leave());
  }
  return goes_on;
}

void Fleet::complete(Snapshot& snapshot, Known& known) const {
  snapshot.evidence = known.evidence;
  snapshot.passed_over = passed_over_;
  if (!known.not_seen_seconds) {
    known.not_seen_seconds = snapshot.not_seen_seconds;  // later, the process that serves can be another one
  }
  snapshot.appeared = known.appeared;
  snapshot.not_seen_seconds = *known.not_seen_seconds;
}

// With its observation, a target loses its viewer. The last viewer of a server that has ended and is not kept takes it
// out of the attached engine: no later command may come to do so.
void Fleet::remove_over(const std::vector<pid_t>& over) {
  const auto is_over = [&over](const Observation& observation) { return contains(over, observation.identity().pid); };
  const bool attached = std::any_of(observed_.begin(), observed_.end(), [&](const Observation& observation) {
    return is_over(observation) && observation.engine().is_pinned();
  });
  std::erase_if(observed_, is_over);
  search_wanted_ = search_wanted_ || !over.empty();
  std::erase_if(attached_.targets, [&over](const TargetInfo& target) { return contains(over, target.root.pid); });
  if (attached) {
    remove_ended(pins_, ProcFs());
  }
}

Result<Sample> Fleet::sample() {
  clear_wanted();
  Sample sample;
  std::vector<pid_t> over;
  std::set<std::uint64_t> counted_queues;
  for (Observation& observation : observed_) {
    if (!TRY(sample_one(observation, counted_queues, sample))) {
      over.push_back(observation.identity().pid);
    }
  }
  remove_over(over);
  add_started();  // after removing the ended ones: workers that a killed supervisor left are a server of their own
  sample.server_ended = observed_.empty() && !all_;
  set_timer();
  return sample;
}

std::vector<int> Fleet::ended_fds() const {
  std::vector<int> fds;
  for (const Observation& observation : observed_) {
    if (!observation.has_ended()) {
      fds.push_back(observation.ended_fd());
    }
  }
  if (sample_wanted_) {
    fds.push_back(sample_wanted_.get());
  }
  return fds;
}

bool Fleet::is_attached() const {
  return std::all_of(observed_.begin(), observed_.end(),
                     [](const Observation& observation) { return observation.engine().is_pinned(); });
}

}  // namespace monitor
