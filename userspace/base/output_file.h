// SPDX-License-Identifier: Apache-2.0
// Writes to files that other processes read. Handles readers that are gone, readers that do not read, and full disks.
#pragma once

#include <string_view>

#include "base/result.h"

namespace monitor {

// A reader that is gone (a closed pipe, a terminal that hung up) is not a failure: nobody is left to report it to.
enum class Written { kWhole, kReaderGone };

// Writes all of `text`, in as few writes as possible. `name`: the file, for errors. Waits for a reader that does not
// read, but at most a second once a signal to stop is pending (signals.h): otherwise only SIGKILL could end a process
// that writes to a full pipe.
Result<Written> write_all(int fd, std::string_view text, std::string_view name);

// Writes `line` in one write, so that lines from several writers to one file never mix. Fails if the file takes only a
// part of it.
Result<Written> write_line(int fd, std::string_view line, std::string_view name);

}  // namespace monitor
