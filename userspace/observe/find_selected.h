// SPDX-License-Identifier: Apache-2.0
// From what the operator selected to the servers that are meant.
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

// Fails with kNoTarget when there is no server, or when a process that was named is not a server. The caller reports
// those that were refused beside others. `options` are those of the engine that would count the servers: loading it
// shows which capabilities are missing.
Result<FoundServers> find_selected(const ProcFs& proc, const Selection& selection, const Attached& attached,
                                   const EngineOptions& options, ProgramReader& programs);

// "pid 42 on 127.0.0.1:8000: main.py". Can hold untrusted bytes.
std::string describe(const Server& server);

}  // namespace monitor
