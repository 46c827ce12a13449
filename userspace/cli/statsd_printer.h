// SPDX-License-Identifier: Apache-2.0
// Samples as datagrams to a StatsD server. Nobody answers there: what is lost is lost, and said once.
#pragma once

#include <functional>
#include <vector>

#include "base/fd.h"
#include "base/host_port.h"
#include "base/result.h"
#include "cli/printer.h"

namespace monitor {

class StatsdPrinter : public Printer {
 public:
  // Looks the host up. `warn` is told when sending fails, once until it succeeds again.
  static Result<StatsdPrinter> open(const HostPort& server, bool tagged, std::function<void(const Error&)> warn);

  Result<Written> print(const std::vector<Snapshot>& snapshots) override;
  int output() const override { return -1; }

 private:
  StatsdPrinter(Fd socket, std::string server, bool tagged, std::function<void(const Error&)> warn);

  Fd socket_;
  std::string server_;
  bool tagged_;
  std::function<void(const Error&)> warn_;
  bool warned_ = false;
  std::vector<Snapshot> before_;
};

}  // namespace monitor
