// SPDX-License-Identifier: Apache-2.0
// Finds the process under which a server goes on after its root process has ended: gunicorn's new master after USR2, or
// the workers that a killed supervisor left.
#pragma once

#include <sys/types.h>

#include <map>
#include <optional>
#include <string>
#include <vector>

#include "base/result.h"
#include "host/procfs.h"
#include "session/engine.h"

namespace monitor {

struct Successor {
  ProcessIdentity root;
  std::string address;  // on which it serves
};

// Whether a process serves for another one, by their arguments: that one forked it, or started it with multiprocessing.
bool is_worker_of(const std::vector<std::string>& own, const std::vector<std::string>& above);

// The new root among `members`, the processes of a server whose root has ended: of those that listen, and of those that
// they descend from, the one that started first. nullopt if no member listens.
std::optional<pid_t> choose_root(const std::map<pid_t, ProcessSample>& members, const std::vector<pid_t>& listeners);

// The successor of the target's root `ended`: one of the processes that the engine follows already, or its supervisor;
// nullopt if the server has ended. Unless `address` is empty, the server must still listen there: a child of the
// application that listens elsewhere is no successor. Waits a moment, because the rest of a process tree that is being
// killed lives a little longer than its root.
Result<std::optional<Successor>> find_successor(const Engine& engine, unsigned target, const ProcFs& proc,
                                                const ProcessIdentity& ended, const std::string& address);

// The servers that serve on an address of the target beside its root, which lives: SO_REUSEPORT lets them. The kernel
// side has added their listening processes; each is named by its supervisor, which need not be a process of the target.
Result<std::vector<ProcessIdentity>> servers_beside(const Engine& engine, unsigned target, const ProcFs& proc,
                                                    const ProcessIdentity& root);

}  // namespace monitor
