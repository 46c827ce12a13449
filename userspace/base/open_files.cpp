// SPDX-License-Identifier: Apache-2.0
#include "base/open_files.h"

#include <sys/resource.h>

#include <string>

namespace monitor {

Status raise_open_files() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) {
    return Ok{};
  }
  limit.rlim_cur = limit.rlim_max;
  static_cast<void>(::setrlimit(RLIMIT_NOFILE, &limit));
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0 || limit.rlim_cur >= kOpenFilesNeeded) {
    return Ok{};
  }
  return Error{ErrorCode::kFailed,
               "this process may have " + std::to_string(limit.rlim_cur) + " open files, and needs " +
                   std::to_string(kOpenFilesNeeded),
               "raise the limit: ulimit -n 1024; in a systemd unit LimitNOFILE=1024"};
}

}  // namespace monitor
