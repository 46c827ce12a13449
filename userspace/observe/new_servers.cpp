// SPDX-License-Identifier: Apache-2.0
#include "observe/new_servers.h"

#include <algorithm>
#include <utility>

#include "host/command_line.h"

namespace monitor {
namespace {

// A program that imports much takes this long from its start to its first listen; most take less than the second time.
// A process of the age in between is a reason to search, but not each second.
constexpr std::chrono::seconds kYoung{60};
constexpr std::chrono::seconds kVeryYoung{10};
constexpr std::chrono::seconds kYoungEvery{5};

// Between two readings of the list of processes. Calls come once a second, by a timer that may be a little early.
constexpr std::chrono::milliseconds kReadEvery{900};

constexpr int kPause = 100;  // a search is paid for after this many times its duration
constexpr std::chrono::seconds kUnpaid{30};
constexpr std::chrono::seconds kLongestPause{1};

// A server is recognized by what it has loaded, which can take a moment longer than its first listen.
constexpr std::chrono::seconds kRecognizedWithin{10};

// The socket is in the list of sockets by then.
constexpr std::chrono::milliseconds kListedWithin{200};

// A rough and quick test: the search itself decides.
bool may_serve(const ProcFs& proc, pid_t pid) {
  const CommandLine line = read_command_line(proc.arguments(pid));
  return line.python || !line.server.empty() || is_python(proc.executable(pid));
}

}  // namespace

bool NewServers::note(const ProcFs& proc, const std::vector<Listen>& listens, Clock::time_point now) {
  bool found = false;
  for (const Listen& listen : listens) {
    if (may_serve(proc, listen.pid)) {
      listening_.emplace(listen.pid, Listening{listen.at_ns, now});
      found = true;
    }
  }
  return found;
}

// A process becomes another program when it executes one, and listens some time later: this asks again as long as it is
// young.
bool NewServers::is_reason(const ProcFs& proc, pid_t pid, Clock::time_point first, Clock::time_point now,
                           const std::function<bool(pid_t)>& listens) {
  const bool asked = now - first < kVeryYoung || (now - first < kYoung && now - last_ >= kYoungEvery);
  if (!asked || !may_serve(proc, pid)) {
    return false;
  }
  if (listens(pid)) {
    return true;
  }
  quiet_[pid] = now;
  return false;
}

bool NewServers::may_have_started(const ProcFs& proc, Clock::time_point now, const std::vector<pid_t>& followed,
                                  const std::function<bool(pid_t)>& listens) {
  if (called_ && now - *called_ < kReadEvery) {
    return false;
  }
  std::map<pid_t, Clock::time_point> seen;
  bool may_have = false;
  for (const pid_t pid : proc.pids()) {
    const auto known = seen_.find(pid);
    const Clock::time_point first = known != seen_.end() ? known->second : called_ ? now : Clock::time_point();
    seen.emplace_hint(seen.end(), pid, first);
    if (known == seen_.end() && called_) {
      quiet_[pid] = *called_;  // it has started since then
    }
    may_have = may_have || (!std::binary_search(followed.begin(), followed.end(), pid) &&
                            is_reason(proc, pid, first, now, listens));
  }
  seen_ = std::move(seen);
  called_ = now;
  std::erase_if(quiet_, [this](const auto& entry) { return !seen_.contains(entry.first); });
  std::erase_if(listening_, [now](const auto& entry) { return now - entry.second.noted > kYoung; });
  last_ = may_have ? now : last_;
  return may_have || std::any_of(listening_.begin(), listening_.end(), [&](const auto& entry) {
           return now - entry.second.noted < kRecognizedWithin && seen_.contains(entry.first) &&
                  !std::binary_search(followed.begin(), followed.end(), entry.first);
         });
}

std::optional<NewServers::Clock::time_point> NewServers::quiet_until(const std::vector<pid_t>& processes) const {
  std::optional<Clock::time_point> until;
  for (const pid_t pid : processes) {
    const auto found = quiet_.find(pid);
    if (found == quiet_.end()) {
      return std::nullopt;
    }
    until = until ? std::min(*until, found->second) : found->second;
  }
  return until;
}

bool NewServers::may_be_early(Clock::time_point now, const std::vector<pid_t>& followed) const {
  return std::any_of(listening_.begin(), listening_.end(), [&](const auto& entry) {
    return now - entry.second.noted < kListedWithin &&
           !std::binary_search(followed.begin(), followed.end(), entry.first);
  });
}

bool SearchPace::allows(Clock::time_point now) const {
  return now + kUnpaid >= paid_ || now - end_ >= kLongestPause;
}

void SearchPace::note(Clock::time_point end, Clock::duration cost) {
  paid_ = std::max(paid_, end) + kPause * cost;
  end_ = end;
}

std::optional<std::uint64_t> NewServers::listening_since(const std::vector<pid_t>& processes) const {
  std::optional<std::uint64_t> first;
  for (const pid_t pid : processes) {
    const auto found = listening_.find(pid);
    if (found != listening_.end() && (!first || found->second.at_ns < *first)) {
      first = found->second.at_ns;
    }
  }
  return first;
}

}  // namespace monitor
