// SPDX-License-Identifier: Apache-2.0
// Engine::maintain: what user space does for the engine at each snapshot.
#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "session/endpoints.h"
#include "session/engine_state.h"
#include "session/listeners.h"
#include "session/load.h"
#include "session/parts.h"
#include "session/reconcile.h"
#include "session/recursion_misses.h"
#include "session/run_program.h"
#include "session/services.h"
#include "session/sockets.h"
#include "session/try_lock.h"

namespace monitor {
namespace {

// Loads a part if it is not loaded, and attaches its hooks to the object if they are not attached.
Status attach_part(Objects& objects, Links& links, PartId part, const std::string& object) {
  bool loaded = true;
  TRY(for_each_program(objects.profile, part, [&](ProgramId id) -> Status {
    loaded = loaded && objects.program(id);
    return Ok{};
  }));
  if (!loaded) {
    TRY(load_part(objects, part));
  }
  return for_each_program(objects.profile, part, [&](ProgramId id) -> Status {
    return !id.row().is_hook() || links.has(id, object) ? Status(Ok{}) : links.attach(objects, id, object);
  });
}

// Attaches what a target with these sockets needs.
Status attach_parts(Objects& objects, Links& links, const SocketList& held) {
  for (std::size_t index = 0; index < kParts.size(); ++index) {
    const PartRow& row = kParts[index];
    for (const std::string& object : row.is_core() ? std::vector<std::string>() : row.objects(held)) {
      TRY(attach_part(objects, links, PartId(index), object));
    }
  }
  return Ok{};
}

// Accepted connections without a record although bytes were read from them, each with a process that holds it.
std::map<SocketIdentity, pid_t> unseen_connections(const ListedSockets& listed) {
  std::map<SocketIdentity, pid_t> found;
  for (const ListedSocket& socket : listed.list->sockets) {
    if (is_accepted(socket, listed.sample.listen_ports) && socket.role == ROLE_UNKNOWN && socket.unseen != 0) {
      found[socket.identity()] = static_cast<pid_t>(socket.pid);
    }
  }
  return found;
}

// Makes a record, which is an undercount, for each connection that was read without an event (io_uring, splice). It
// does so if two samples in a row list the connection: after one, the event of the receive may still come.
Status adopt_unseen(const Objects& objects, unsigned target, TargetState& state,
                    const std::map<SocketIdentity, pid_t>& unseen) {
  std::set<SocketIdentity> now;
  for (const auto& [socket, pid] : unseen) {
    now.insert(socket);
    if (!state.unseen.contains(socket)) {
      continue;
    }
    *objects.iter_request = {.action = ITER_ADOPT_UNSEEN, .target = target, .socket = socket.first};
    std::vector<ListedSocket> ignored;
    Status status = list_sockets(objects, pid, ignored);
    *objects.iter_request = {};
    TRY(std::move(status));
  }
  state.unseen = std::move(now);
  return Ok{};
}

Status sweep_closed(const Objects& objects, const SocketList& list) {
  if (list.records.empty()) {
    return Ok{};
  }
  std::set<SocketIdentity> open;
  std::transform(list.sockets.begin(), list.sockets.end(), std::inserter(open, open.end()),
                 [](const ListedSocket& socket) { return socket.identity(); });
  return sweep(objects, list.records, open);
}

}  // namespace

Status Engine::maintain(unsigned target, const ListedSockets& listed) {
  const TryLock lock(state_->lock_file, state_->alone);
  if (!lock) {
    return Ok{};  // another process maintains the engine now
  }
  TRY(check_counts(target));
  Objects& objects = state_->objects;
  TargetState& remembered = state_->targets.at(target);
  TRY(attach_parts(objects, state_->links, *listed.list));
  TRY(sweep_closed(objects, *listed.list));
  TRY(make_listeners(objects, target, listed.list->sockets));
  TRY(judge_known(objects, target, listed.sample, remembered.hints));
  TRY(note_services(objects, target, *listed.list));
  TRY(adopt_unseen(objects, target, remembered, unseen_connections(listed)));
  TRY(run_program(objects.program("note_open"), std::array<std::uint64_t, 2>{target, listed.sample.open_connections},
                  "note the peak of connections"));
  TRY(reconcile(objects, target, remembered, TRY(recursion_misses(objects))));
  return evict_unanswered(objects, target);
}

bool Engine::has_doubts(unsigned target) const {
  const TargetState& remembered = state_->targets.at(target);
  return !remembered.unseen.empty() || !remembered.suspected.empty();
}

}  // namespace monitor
