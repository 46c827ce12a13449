// SPDX-License-Identifier: Apache-2.0
// `monitor serve`: servers under observation, scraped over HTTP.
#pragma once

#include "base/result.h"
#include "cli/options.h"

namespace monitor {

// The exit status; returns when it is told to stop or, unless all servers are meant, when all have ended. `utf8`: what
// standard error may show.
Result<int> serve(const ServeOptions& options, bool utf8);

}  // namespace monitor
