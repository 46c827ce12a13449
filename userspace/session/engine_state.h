// SPDX-License-Identifier: Apache-2.0
// What an Engine holds: the kernel's objects, and what this process remembers between snapshots. Private to session/.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <set>
#include <vector>

#include "base/fd.h"
#include "model/listeners.h"
#include "session/engine.h"
#include "session/links.h"
#include "session/listens.h"
#include "session/objects.h"
#include "session/pins.h"
#include "session/records.h"

namespace monitor {

// What this process remembers of one target.
struct TargetState {
  std::uint64_t since_ns = 0;  // when counting began; 0: this process does not observe the target
  ListenerHints hints;
  unsigned reconciles = 0;  // calls of `reconcile`
  // By endpoint slot: requests in flight beyond those in the live records, as the last reconciliation found.
  std::map<std::uint32_t, std::uint64_t> suspected;
  // Sockets that the last maintenance found without a record although bytes were read from them.
  std::set<SocketIdentity> unseen;
};

struct Engine::State {
  Objects objects;
  Links links;
  std::optional<Pins> pins;
  std::uint64_t identity = 0;  // of the pinned engine: another one may have taken its place since
  Fd lock_file;                // for TryLock
  bool alone = true;           // no other process uses the engine, or the caller holds the exclusive lock
  std::vector<TargetState> targets;
  std::unique_ptr<Listens> listens;  // null: nobody watches
};

}  // namespace monitor
