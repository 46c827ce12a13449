// SPDX-License-Identifier: Apache-2.0
#include "observe/fleet.h"

#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <map>
#include <utility>

#include "base/boot_clock.h"
#include "observe/find_selected.h"

namespace monitor {
namespace {

using Clock = std::chrono::steady_clock;

// Searching all processes of the machine takes a few milliseconds.
constexpr std::chrono::seconds kSearchEvery{1};

// Without any sign of a new server.
constexpr std::chrono::seconds kSearchAnywayEvery{10};

// How often check() is due, and how often just after a server has ended.
constexpr std::chrono::seconds kCheckEvery{1};
constexpr std::chrono::milliseconds kCheckAfterEnd{100};

// How long a server that has ended is waited for: one whose listening socket its supervisor holds for the next one.
constexpr std::chrono::seconds kTakenOverWithin{10};

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

bool contains(const std::vector<pid_t>& pids, pid_t pid) {
  return std::find(pids.begin(), pids.end(), pid) != pids.end();
}

void drain(int fd) {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t size = ::read(fd, &ignored, sizeof(ignored));
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
      attached_(std::move(attached)),
      guesses_(guesses(options.servers)),
      searched_at_(std::chrono::steady_clock::now()),
      notices_(std::move(notices)) {}

Result<Fleet> Fleet::begin(const ObserveOptions& options, Notices notices, bool may_be_empty) {
  const ProcFs proc;
  Attached attached = TRY(open_attached(Pins(options.pins), proc, options.keep_ended_seconds));
  Fleet fleet(options, std::move(attached), std::move(notices));
  Result<FoundServers> found =
      find_selected(proc, options.servers, fleet.attached_, fleet.engine_options_, fleet.programs_);
  if (!found && may_be_empty && fleet.all_ && found.error().code == ErrorCode::kNoTarget) {
    // Missing capabilities can hide servers. Loading the engine reports them now rather than when a server starts.
    TRY(fleet.own_engine());
    return fleet;
  }
  const FoundServers servers = TRY(std::move(found));
  report_earlier_handovers(proc, options.servers.pids, fleet.attached_, fleet.notices_);
  TRY(fleet.add_all(servers));
  return fleet;
}

Status Fleet::add_all(const FoundServers& found) {
  std::vector<Error> failures;
  for (const Server& server : found.servers) {
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

// A server that is attached was chosen by the operator before.
void Fleet::note_choice(const Server& server) {
  known_[server.pid] = Known{server.evidence, std::nullopt, false};
  passed_over_.clear();
  std::string others;
  for (const Server& other : server.passed_over) {
    passed_over_.push_back(describe(other));
    others += is_guess(other.evidence) ? "" : (others.empty() ? "" : "; ") + passed_over_.back();
  }
  if (all_ || server.evidence == Evidence::kAttached) {
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
    return Observation::begin(std::move(engine), std::move(root));
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

std::vector<pid_t> Fleet::followed() const {
  std::vector<pid_t> found;
  for (const Observation& observation : observed_) {
    if (const Result<std::vector<pid_t>> processes = observation.processes()) {
      found.insert(found.end(), processes->begin(), processes->end());
    }
  }
  return found;
}

// The observed server on whose address this one serves. Two processes serve on one address when one takes over from the
// other, and for as long as they share it with SO_REUSEPORT or by inheritance.
Observation* Fleet::served_by(const Server& server) {
  if (attached_.find(server.pid)) {
    return nullptr;
  }
  const std::string network = ProcFs().network_namespace(server.pid);
  const auto found = std::find_if(observed_.begin(), observed_.end(), [&](const Observation& observation) {
    return observation.root().network == network &&
           std::find(server.listen.begin(), server.listen.end(), observation.address()) != server.listen.end();
  });
  return found == observed_.end() ? nullptr : &*found;
}

// Adds the process to the observed server, in the engine that counts it.
Status Fleet::adopt(Observation& observation, pid_t pid) {
  const ProcFs proc;
  Root root = TRY(open_root(proc, pid));
  if (!observation.engine().is_pinned()) {
    return observation.adopt(*own_, std::move(root));
  }
  const PinLock lock = TRY(pins_.lock_exclusive());
  std::optional<Engine> engine = TRY(Engine::open(pins_, lock));
  const std::vector<TargetInfo> targets = engine ? TRY(current_targets(*engine, proc)) : std::vector<TargetInfo>();
  const auto target = std::find_if(targets.begin(), targets.end(), [&](const TargetInfo& other) {
    return other.index == observation.target() && other.root == observation.identity();
  });
  if (target == targets.end()) {
    return server_ended(observation.identity().pid);
  }
  TRY(engine->join_target(*target));
  return observation.adopt(*engine, std::move(root));
}

// With --pid: looks for a process that serves on the address of a server that has ended. Returns whether one does, or
// is likely to soon: a process from which the server descended holds the listening socket for the next one, as systemd
// does.
bool Fleet::adopt_another(Observation& observation) {
  const ProcFs proc;
  const Root& ended = observation.root();
  const Result<std::vector<pid_t>> listeners = observation.engine().listeners_at(observation.address(), proc.pids());
  std::map<pid_t, ProcessSample> others;
  for (const pid_t pid : listeners ? *listeners : std::vector<pid_t>()) {
    const Result<ProcessSample> sample = proc.process(pid);
    if (sample && !contains(ended.ancestors, pid) && proc.network_namespace(pid) == ended.network) {
      others.emplace(pid, *sample);
    }
  }
  const std::optional<pid_t> next = choose_root(others, listeners ? *listeners : std::vector<pid_t>());
  if (next && adopt(observation, *next)) {
    note_handover(observation);
    return true;
  }
  return listeners && !listeners->empty() && Clock::now() - *observation.ended_at() < kTakenOverWithin;
}

bool Fleet::may_go_on(Observation& observation) {
  if (observation.address().empty()) {
    return false;
  }
  return all_ ? Clock::now() - *observation.ended_at() < keep_ended_ : adopt_another(observation);
}

void Fleet::search() {
  const auto before = std::exchange(searched_at_, Clock::now());
  const ProcFs proc;
  const FoundServers found = find_servers(proc, {}, guesses_, &programs_);
  report_refused(found);
  const std::vector<pid_t> members = followed();
  for (const Server& server : found.servers) {
    if (contains(members, server.pid) || has(server.pid)) {
      continue;
    }
    const std::vector<pid_t> tree = proc.tree(server.pid);
    Observation* const same = served_by(server);
    const std::size_t count = observed_.size();
    Status added = same != nullptr ? adopt(*same, server.pid) : add_if_new(server);
    if (!added) {
      notices_.failed(added.error());
      continue;
    }
    if (same == nullptr && observed_.size() == count) {
      continue;  // not a server that can be observed
    }
    const std::optional<std::uint64_t> since = new_servers_.listening_since(tree);
    const double not_seen = since ? to_seconds(nanoseconds_since_boot() - *since)
                                  : std::chrono::duration<double>(Clock::now() - before).count();
    if (same != nullptr) {
      note_handover(*same);
    }
    Known& known = known_[same != nullptr ? same->identity().pid : server.pid];
    known.not_seen_seconds = known.not_seen_seconds.value_or(0) + not_seen;
  }
}

void Fleet::add_started() {
  if (all_ && Clock::now() - searched_at_ >= kSearchEvery) {
    search();
  }
}

Status Fleet::watch() {
  timer_ = Fd(::timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK));
  sample_wanted_ = Fd(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
  if (!timer_ || !sample_wanted_) {
    return system_error(errno, "make a timer");
  }
  if (all_) {
    TRY(TRY(own_engine())->watch_listens());
    new_servers_.may_have_started(ProcFs(), Clock::now());
  }
  set_timer();
  return Ok{};
}

void Fleet::set_timer() {
  if (!timer_) {
    return;
  }
  const bool just_ended = std::any_of(observed_.begin(), observed_.end(), [](const Observation& observation) {
    return observation.ended_at() && Clock::now() - *observation.ended_at() < kTakenOverWithin;
  });
  std::chrono::nanoseconds period{0};
  if (just_ended) {
    period = kCheckAfterEnd;
  } else if (all_) {
    period = kCheckEvery;
  }
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(period);
  const timespec due{static_cast<time_t>(seconds.count()), static_cast<long>((period - seconds).count())};
  const itimerspec times{due, due};
  ::timerfd_settime(timer_.get(), 0, &times, nullptr);
}

std::vector<int> Fleet::check_fds() const {
  std::vector<int> fds;
  if (timer_) {
    fds.push_back(timer_.get());
  }
  if (own_ && own_->listens_fd() >= 0) {
    fds.push_back(own_->listens_fd());
  }
  return fds;
}

void Fleet::check() {
  drain(timer_.get());
  const auto now = Clock::now();
  if (all_) {
    const ProcFs proc;
    const bool listens = new_servers_.note(proc, own_->take_listens(), now);
    if (listens || new_servers_.may_have_started(proc, now) || now - searched_at_ >= kSearchAnywayEvery) {
      search();
    }
  }
  for (Observation& observation : observed_) {
    if (!all_ && observation.has_ended() && (!may_go_on(observation) || !observation.has_ended())) {
      const std::uint64_t one = 1;
      [[maybe_unused]] const ssize_t size = ::write(sample_wanted_.get(), &one, sizeof(one));
    }
  }
  set_timer();
}

void Fleet::note_handover(Observation& observation) {
  if (const std::optional<Handover> handover = observation.take_handover()) {
    Known known = known_[handover->from];
    known.end_reported = false;
    known_[handover->to] = known;
    notices_.changed(handed_over(*handover));
    static_cast<void>(adopt(observation, handover->to));  // with processes that the kernel side has not seen
  }
}

Result<bool> Fleet::sample_one(Observation& observation, Sample& sample) {
  Result<Snapshot> snapshot = observation.snapshot(system_);
  note_handover(observation);
  const bool lost = !snapshot;
  const bool goes_on = !lost && (!observation.has_ended() || may_go_on(observation));
  Known& known = known_[observation.identity().pid];
  if (snapshot) {
    if (!known.end_reported || show_ended_) {
      complete(*snapshot, known);
      snapshot->ended = observation.has_ended();
      sample.snapshots.push_back(*std::move(snapshot));
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

void Fleet::complete(Snapshot& snapshot, const Known& known) const {
  snapshot.evidence = known.evidence;
  snapshot.passed_over = passed_over_;
  snapshot.appeared = known.not_seen_seconds.has_value();
  snapshot.not_seen_seconds =
      known.not_seen_seconds.value_or(std::max(0.0, snapshot.uptime_seconds - snapshot.observed_seconds));
}

Result<Sample> Fleet::sample() {
  if (sample_wanted_) {
    drain(sample_wanted_.get());
  }
  Sample sample;
  std::vector<pid_t> over;
  for (Observation& observation : observed_) {
    if (!TRY(sample_one(observation, sample))) {
      over.push_back(observation.identity().pid);
    }
  }
  const auto is_over = [&over](pid_t pid) { return contains(over, pid); };
  std::erase_if(observed_, [&](const Observation& observation) { return is_over(observation.identity().pid); });
  std::erase_if(attached_.targets, [&](const TargetInfo& target) { return is_over(target.root.pid); });
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
