// SPDX-License-Identifier: Apache-2.0
// Explains failures of file operations on the pins. Private to session/.
#pragma once

#include <string>

#include "base/result.h"

namespace monitor {

// "<what><path>: <strerror>" for an errno that the caller saved first, with a hint for the usual reasons.
Error pin_error(int saved_errno, const std::string& what, const std::string& path);

}  // namespace monitor
