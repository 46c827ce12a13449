// SPDX-License-Identifier: Apache-2.0
// Finds the servers that the operator selected.
#pragma once

#include <string>

#include "base/result.h"
#include "host/find_server.h"
#include "observe/attached.h"
#include "observe/options.h"

namespace monitor {

// "no server found", as an Error.
Error no_server_found();

// Whether a search with --all takes guesses in.
Guesses guesses(const Selection& selection);

// Fails with kNoTarget if no server is found, or if a process that the operator named is not a server. If servers are
// found, the caller reports those in `refused`. `options` are those of the engine that would count the servers: loading
// it shows which capabilities are missing.
Result<FoundServers> find_selected(const ProcFs& proc, const Selection& selection, const Attached& attached,
                                   const EngineOptions& options, ProgramReader& programs,
                                   const ListenerChoice& listeners = {});

// "pid 42 on 127.0.0.1:8000: main.py". Can hold untrusted bytes.
std::string describe(const Server& server);

}  // namespace monitor
