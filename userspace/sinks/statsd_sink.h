// SPDX-License-Identifier: Apache-2.0
// Samples as datagrams to a StatsD server, which never answers: what is lost stays lost, and the operator is warned
// once.
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

  // Looks the host up and connects to it. The sink calls `warn` when sending fails, once until it succeeds again.
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
