// SPDX-License-Identifier: Apache-2.0
#include "host/pid_namespace.h"

#include <unistd.h>

#include <array>
#include <string>
#include <string_view>

namespace monitor {
namespace {

// The initial pid namespace has the same inode on every machine: PROC_PID_INIT_INO, 0xEFFFFFFC
// (include/linux/proc_ns.h).
constexpr std::string_view kHostNamespace = "pid:[4026531836]";

constexpr const char* kHint =
    "run it on the host, or give its container the pids of the host:\n"
    "  docker run --pid=host …; in Kubernetes: hostPID: true";

}  // namespace

Status check_pid_namespace(const ProcFs& proc) {
  const std::string self = proc.path() + "/self";
  if (::access(self.c_str(), F_OK) != 0) {
    return Error{ErrorCode::kUnsupported,
                 proc.path() + " does not show this process: it is not mounted, or shows another pid namespace", kHint};
  }
  std::array<char, 64> text{};
  const ssize_t length = ::readlink((self + "/ns/pid").c_str(), text.data(), text.size());
  // A kernel built without pid namespaces has no such link.
  if (length <= 0 || std::string_view(text.data(), static_cast<std::size_t>(length)) == kHostNamespace) {
    return Ok{};
  }
  return Error{
      ErrorCode::kUnsupported,
      "this process runs in a pid namespace of its own, as in a container: the pids that it sees are not those "
      "of the host, by which the kernel tells processes apart",
      kHint};
}

}  // namespace monitor
