// SPDX-License-Identifier: Apache-2.0
#include "host/mounts.h"

#include <sys/stat.h>
#include <sys/sysmacros.h>

#include <string_view>

#include "host/read_file.h"

namespace monitor {

Status check_host_sees(const ProcFs& proc, const std::string& path) {
  struct stat status {};
  LineReader lines(proc.path() + "/1/mountinfo");
  if (::stat(path.c_str(), &status) != 0 || !lines.opened()) {
    return Ok{};
  }
  const std::string device = std::to_string(major(status.st_dev)) + ":" + std::to_string(minor(status.st_dev));
  while (const auto line = lines.next()) {
    // man 5 proc_pid_mountinfo: mount id, parent id, major:minor
    std::string_view rest = *line;
    take_word(rest);
    take_word(rest);
    if (take_word(rest) == device) {
      return Ok{};
    }
  }
  return Error{
      ErrorCode::kUnsupported,
      "this process has mounts of its own, as in a container, and the host does not see the file system at " + path,
      "run it on the host, or give its container the host's: docker run -v /sys/fs/bpf:/sys/fs/bpf …"};
}

}  // namespace monitor
