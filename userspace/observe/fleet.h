// SPDX-License-Identifier: Apache-2.0
// The servers that one run observes. The attached engine counts those that it has; an engine of our own counts the
// rest. A server is an address that is served: when its processes end and others serve on the same address, it goes on
// under those.
#pragma once

#include <chrono>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/result.h"
#include "host/find_server.h"
#include "model/sample.h"
#include "observe/attached.h"
#include "observe/new_servers.h"
#include "observe/notices.h"
#include "observe/observation.h"
#include "observe/options.h"
#include "session/pins.h"

namespace monitor {

class Fleet {
 public:
  // Finds the servers and begins to observe all of them. Fails if one of them cannot be observed, or if no server is
  // found. With --all it skips servers that it cannot observe, and with `may_be_empty` succeeds without a server.
  static Result<Fleet> begin(const ObserveOptions& options, Notices notices, bool may_be_empty = false);

  // Takes a snapshot of every server. With --all it also adds servers that have started since, and goes on if no server
  // is left.
  Result<Sample> sample();

  // For a run of more than one sample, before it gives up privileges: from then on, check() finds what happens between
  // two samples.
  Status watch();

  // Descriptors of which one becomes readable when check() has something to do.
  std::vector<int> check_fds() const;

  // Between two samples: with --all adds servers that have begun to listen, and in any case looks for processes that
  // take the place of a server that has ended.
  void check();

  // Descriptors that become readable when a server ends, one for each, and when one that has ended needs a sample.
  std::vector<int> ended_fds() const;

  // Whether the attached engine counts all of them, so that the first sample is meaningful at once.
  bool is_attached() const;

  // Whether sampling reads pins that only a capability makes visible to this process.
  bool reads_others_pins() const { return attached_.engine && pins_.access_needs_capability(); }

  // What the operator should know of the choice, where the output has no line for it: that the server is a guess, or
  // that others were passed over. Empty if the choice was certain.
  const std::string& doubt() const { return doubt_; }

  // Servers that have ended, in order.
  const std::vector<pid_t>& ended() const { return ended_; }

 private:
  // What else is known of a server that is observed, by the pid of its root.
  struct Known {
    Evidence evidence = Evidence::kNamed;
    std::string title;                       // the program with its application or its arguments
    std::vector<std::string> arguments;      // of its first process
    std::optional<double> not_seen_seconds;  // unknown until the first snapshot, for a server that was there before
    bool appeared = false;                   // it began to listen during the run
    bool end_reported = false;
    bool wait_reported = false;  // with --pid: for the next server
  };

  Fleet(const ObserveOptions& options, Attached attached, Notices notices);

  Status add(const Server& server);
  Status add_if_new(const Server& server);
  Status add_all(const FoundServers& found);
  void notice_added(const Server& server, std::chrono::steady_clock::duration took) const;
  bool has_given_up(const ProcessIdentity& identity) const;
  void note_choice(const Server& server);
  void report_refused(const FoundServers& found);
  Result<Observation> observe(const Server& server);
  Result<std::shared_ptr<Engine>> own_engine();
  void note_handover(Observation& observation);
  void note_beside(Observation& observation);
  // Adds the server's snapshot to `sample`. Returns whether the observation goes on. `counted_queues`: the listening
  // sockets whose accept queues count for a server before it.
  Result<bool> sample_one(Observation& observation, std::set<std::uint64_t>& counted_queues, Sample& sample);
  void complete(Snapshot& snapshot, Known& known) const;
  // A server has ended. Returns whether it may still go on.
  bool may_go_on(Observation& observation);
  Observation* served_by(const Server& server);
  Status adopt(Observation& observation, pid_t pid);
  bool adopt_another(Observation& observation);
  // Adds the views of one snapshot that the choice of listeners makes. Fails if the only server never had a listener
  // that matches.
  Status add_views(Snapshot snapshot, Sample& sample);
  void remove_over(const std::vector<pid_t>& over);
  void add_started();
  void search();
  void note_found(const FoundServers& found);
  bool wants_search(std::chrono::steady_clock::time_point now);
  bool holds_listener(pid_t pid) const;
  std::map<pid_t, pid_t> members() const;
  std::vector<pid_t> followed() const;
  bool is_counted(const Server& server, const std::map<pid_t, pid_t>& observed) const;
  bool has(pid_t pid) const;
  void set_timer();
  void clear_wanted();

  EngineOptions engine_options_;
  Pins pins_;
  bool all_;
  bool system_;
  bool show_ended_;
  std::chrono::duration<double> keep_ended_;
  ListenerChoice listeners_;
  bool matched_ = false;  // a listener of `listeners_` was found
  Attached attached_;
  Guesses guesses_;
  std::shared_ptr<Engine> own_;  // loaded for the first server that it counts
  std::vector<Observation> observed_;
  std::vector<pid_t> ended_;
  ProgramReader programs_;
  std::vector<pid_t> found_;               // roots of the servers that the latest search with --all found
  std::map<pid_t, Known> known_;           // of those observed
  std::vector<std::string> passed_over_;   // by the search that chose the only one
  std::vector<ProcessIdentity> given_up_;  // with --all: servers that cannot be observed, each reported once
  std::chrono::steady_clock::time_point searched_at_;
  NewServers new_servers_;
  SearchPace pace_;
  bool searched_early_ = false;  // a server may have begun to listen too late for the latest search
  bool search_wanted_ = false;   // there was a reason, and the pace did not allow it yet
  Fd timer_;                     // expires when check() is due
  Fd sample_wanted_;             // readable if a server that has ended needs a sample
  std::string doubt_;
  Notices notices_;
};

}  // namespace monitor
