// SPDX-License-Identifier: Apache-2.0
#include "base/result.h"

#include <cstring>

namespace monitor {

Error system_error(int saved_errno, std::string_view what, ErrorCode code) {
  return Error{code, std::string(what) + ": " + std::strerror(saved_errno)};
}

}  // namespace monitor
