// SPDX-License-Identifier: Apache-2.0
// Reads the pid that a server wrote to a PID file. Private to host/.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace monitor {

// The pid in the file: decimal digits, optionally with whitespace around them. Any other content fails with kNoTarget
// and an error that names the file and shows the start of its content. A missing file fails with
// missing_pid_file(path). Never blocks (on a FIFO, say), and reads only a few bytes.
Result<pid_t> read_pid_file(const std::string& path);

// Whether a file of any kind exists under that name, readable or not.
bool pid_file_exists(const std::string& path);

// The message "Proxy is not running (no PID file): <path> does not exist".
std::string missing_pid_file(const std::string& path);

}  // namespace monitor
