// SPDX-License-Identifier: Apache-2.0
// Reads the pid that a server left in a file. Private to host/.
#pragma once

#include <sys/types.h>

#include <string>

#include "base/result.h"

namespace monitor {

// The pid in the file: decimal digits, with blanks and newlines around them. Anything else is kNoTarget, with an error
// that names the file and shows what is in it; never waits (a FIFO) and reads 64 bytes at most. A missing file is the
// error "Proxy is not running (no PID file): ...".
Result<pid_t> read_pid_file(const std::string& path);

// Whether anything is there under that name, readable or not.
bool pid_file_exists(const std::string& path);

// "Proxy is not running (no PID file): <path> does not exist".
std::string no_pid_file(const std::string& path);

}  // namespace monitor
