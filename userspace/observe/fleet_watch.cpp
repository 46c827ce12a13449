// SPDX-License-Identifier: Apache-2.0
// What a Fleet does between two samples: it seeks new servers, and processes that take the place of a server that has
// ended.
#include <fmt/format.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <ctime>
#include <map>
#include <utility>

#include "base/boot_clock.h"
#include "base/contains.h"
#include "host/listener_hints.h"
#include "observe/fleet.h"

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

// How often check() is due while a search is wanted.
constexpr std::chrono::milliseconds kCheckForPace{200};
constexpr std::chrono::milliseconds kCheckIfEarly{30};  // that search may have been too early

// How long a view of a pid waits for the next server: a supervisor starts it after a moment, and it takes a while to
// listen.
constexpr std::chrono::seconds kTakenOverWithin{10};

// That this thread has used.
Clock::duration cpu_time() {
  timespec used{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &used);
  return std::chrono::seconds(used.tv_sec) + std::chrono::nanoseconds(used.tv_nsec);
}

void drain(int fd) {
  std::uint64_t ignored = 0;
  [[maybe_unused]] const ssize_t size = ::read(fd, &ignored, sizeof(ignored));
}

}  // namespace

// The processes of the observed servers, each with the root of its server.
std::map<pid_t, pid_t> Fleet::members() const {
  std::map<pid_t, pid_t> found;
  for (const Observation& observation : observed_) {
    const Result<std::vector<pid_t>> processes = observation.processes();
    for (const pid_t pid : processes ? *processes : std::vector<pid_t>()) {
      found.emplace(pid, observation.identity().pid);
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
    return observation.root().network == network && observation.identity().pid != server.outer &&
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
  TRY(engine->join_target(*target, listener_hints(proc, pid)));
  return observation.adopt(*engine, std::move(root));
}

// With --pid: looks for a process that serves on the address of a server that has ended. Returns whether one does, or
// is likely to soon: a process from which the server descended holds the listening socket for the next one, as systemd
// does, or the server is attached and kept.
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
  const bool held = listeners && !listeners->empty();
  const auto wait =
      held ? kTakenOverWithin : std::min<std::chrono::duration<double>>(observation.keep_ended(), kTakenOverWithin);
  if (Clock::now() - *observation.ended_at() >= wait) {
    return false;
  }
  Known& known = known_[ended.identity.pid];
  if (!std::exchange(known.wait_reported, true)) {
    notices_.changed(fmt::format("pid {} does not serve on {} any more; waiting up to {} s for the next server there",
                                 ended.identity.pid, observation.address(), kTakenOverWithin.count()));
  }
  return true;
}

bool Fleet::may_go_on(Observation& observation) {
  if (observation.address().empty()) {
    return false;
  }
  return all_ ? Clock::now() - *observation.ended_at() < keep_ended_ : adopt_another(observation);
}

// Whether the server is part of one that is observed. Processes that a server forks are its own at first: one of them
// can become another server, below it. `observed` is what members() returns.
bool Fleet::is_counted(const Server& server, const std::map<pid_t, pid_t>& observed) const {
  const ProcFs proc;
  const auto member = observed.find(server.pid);
  if (member != observed.end()) {
    return server.outer == 0 || !contains(proc.tree(member->second), server.pid);
  }
  return std::any_of(observed_.begin(), observed_.end(), [&](const Observation& observation) {
    const Result<std::vector<ProcessIdentity>> servers =
        servers_beside(observation.engine(), observation.target(), proc, observation.identity());
    return servers && std::any_of(servers->begin(), servers->end(),
                                  [&server](const ProcessIdentity& other) { return other.pid == server.pid; });
  });
}

void Fleet::search() {
  const auto before = std::exchange(searched_at_, Clock::now());
  search_wanted_ = false;
  const ProcFs proc;
  const Clock::duration used = cpu_time();
  const FoundServers found = find_servers(proc, {}, guesses_, &programs_);
  pace_.note(Clock::now(), cpu_time() - used);
  if (own_) {  // since when those listen that began during the search
    search_wanted_ = new_servers_.note(proc, own_->take_listens(), Clock::now());
  }
  report_refused(found);
  note_found(found);
  const std::map<pid_t, pid_t> observed = members();
  for (const Server& server : found.servers) {
    if (has(server.pid) || is_counted(server, observed)) {
      continue;
    }
    const std::vector<pid_t> tree = proc.tree(server.pid, found_);
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
    const Clock::time_point quiet = std::max(before, new_servers_.quiet_until(tree).value_or(before));
    const double not_seen = since ? to_seconds(nanoseconds_since_boot() - *since)
                                  : std::chrono::duration<double>(Clock::now() - quiet).count();
    if (same != nullptr) {
      note_handover(*same);
    }
    Known& known = known_[same != nullptr ? same->identity().pid : server.pid];
    known.appeared = known.appeared || same == nullptr;
    known.not_seen_seconds = known.not_seen_seconds.value_or(0) + not_seen;
  }
  searched_early_ = new_servers_.may_be_early(Clock::now(), followed());
  search_wanted_ = search_wanted_ || searched_early_;
}

void Fleet::add_started() {
  const auto now = Clock::now();
  if (all_ && (timer_ ? wants_search(now) : now - searched_at_ >= kSearchEvery)) {
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
    new_servers_.may_have_started(ProcFs(), Clock::now(), {}, [](pid_t) { return false; });
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
  } else if (search_wanted_) {
    period = searched_early_ ? kCheckIfEarly : kCheckForPace;
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

// A sample begins: what wanted one has it.
void Fleet::clear_wanted() {
  if (sample_wanted_) {
    drain(sample_wanted_.get());
  }
}

bool Fleet::holds_listener(pid_t pid) const {
  const Result<bool> holds = own_->holds_listener(pid);
  return !holds || *holds;
}

// The processes of the observed servers, sorted.
std::vector<pid_t> Fleet::followed() const {
  std::vector<pid_t> known;
  for (const auto& [pid, root] : members()) {
    known.push_back(pid);
  }
  return known;
}

bool Fleet::wants_search(Clock::time_point now) {
  const ProcFs proc;
  const std::vector<pid_t> known = followed();
  const bool listens = new_servers_.note(proc, own_->take_listens(), now);
  const bool started =
      new_servers_.may_have_started(proc, now, known, [this](pid_t pid) { return holds_listener(pid); });
  search_wanted_ = search_wanted_ || listens || started || now - searched_at_ >= kSearchAnywayEvery;
  return search_wanted_ && pace_.allows(now);
}

void Fleet::check() {
  drain(timer_.get());
  const auto now = Clock::now();
  if (all_ && wants_search(now)) {
    search();
  }
  for (Observation& observation : observed_) {
    if (!all_ && observation.has_ended() && (!may_go_on(observation) || !observation.has_ended())) {
      const std::uint64_t one = 1;
      [[maybe_unused]] const ssize_t size = ::write(sample_wanted_.get(), &one, sizeof(one));
    }
  }
  set_timer();
}

}  // namespace monitor
