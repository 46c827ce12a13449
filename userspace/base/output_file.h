// SPDX-License-Identifier: Apache-2.0
// Writes to descriptors that others read: pipes whose reader has gone, readers that have stopped, full disks.
#pragma once

#include <string_view>

#include "base/result.h"

namespace monitor {

// A reader that has gone (a closed pipe, a terminal that hung up) is no failure: nobody is left to tell.
enum class Written { kWhole, kReaderGone };

// Writes all of `text`, in as few writes as it takes. `name` is what an error calls the file. A reader that takes
// nothing is waited for, but once SIGINT or SIGTERM is pending (they are blocked, see signals.h) no longer than a
// second: a full pipe must not make this process one that only SIGKILL ends.
Result<Written> write_all(int fd, std::string_view text, std::string_view name);

// Writes `line` by exactly one write, so that lines of several writers to one file never mix. Fails when the file took
// only a part of it.
Result<Written> write_line(int fd, std::string_view line, std::string_view name);

}  // namespace monitor
