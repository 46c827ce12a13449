// SPDX-License-Identifier: Apache-2.0
// The loop of `monitor serve`. It answers requests until a signal to stop or the end of the last server.
#pragma once

#include <functional>

#include "base/event_loop.h"
#include "base/result.h"
#include "base/signals.h"
#include "sinks/exporter.h"

namespace monitor {

struct EndedServers {
  EventLoop::Descriptors fds;    // each becomes readable once a server has ended
  std::function<void()> report;  // called after each wait: reports the servers that have ended since the last call
};

// Runs the loop, on which the HTTP server already watches its sockets, and returns the exit status: 0 after a signal
// to stop, kNoTarget after the end of the last server. Fails once a sample fails.
//
// If several things are ready in one wait:
// - A signal to stop ends the loop at once. It sends no further byte: a request that is ready in the same wait gets no
//   response, and a response that has been sent in part is cut off.
// - The end of a server comes before the requests, so that their responses are made after it. The requests of a wait
//   in which the last server ends are answered.
Result<int> run_serve_loop(EventLoop& events, const Signals& signals, const EndedServers& ended, Exporter& exporter);

}  // namespace monitor
