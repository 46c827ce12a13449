// SPDX-License-Identifier: Apache-2.0
// The program: options in, exit status out.
#pragma once

namespace monitor {

// Exit status: 0, or the value of the ErrorCode of what failed (base/result.h), or 3 after the server has ended.
int run(int argc, char** argv);

}  // namespace monitor
