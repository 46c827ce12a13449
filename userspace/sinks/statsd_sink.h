// SPDX-License-Identifier: Apache-2.0
// Sends samples as datagrams to a StatsD server. The server never answers, and lost datagrams are not sent again.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "base/fd.h"
#include "base/host_port.h"
#include "base/result.h"
#include "sinks/sink.h"

namespace monitor {

class StatsdSink : public Sink {
 public:
  using Warn = std::function<void(const Error&)>;

  // Resolves the host and connects to it. The sink calls `warn` when sending fails, and after that not again until
  // sending has succeeded.
  static Result<StatsdSink> open(const HostPort& server, bool tagged, Warn warn);

  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  int output() const override { return -1; }

 private:
  StatsdSink(Fd socket, std::string server, bool tagged, Warn warn);

  Fd socket_;
  std::string server_;
  bool tagged_;
  Warn warn_;
  bool warned_ = false;
  std::vector<Snapshot> before_;
};

}  // namespace monitor
