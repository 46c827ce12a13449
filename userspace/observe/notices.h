// SPDX-License-Identifier: Apache-2.0
// What observing reports to its caller while it goes on.
#pragma once

#include <functional>
#include <string>

#include "base/result.h"

namespace monitor {

struct Notices {
  std::function<void(const Error&)> failed;         // something failed that does not end the run
  std::function<void(const std::string&)> done;     // what was done, one sentence a call; empty without --verbose
  std::function<void(const std::string&)> changed;  // what happened to a server, one sentence a call
};

}  // namespace monitor
