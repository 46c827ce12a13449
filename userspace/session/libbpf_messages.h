// SPDX-License-Identifier: Apache-2.0
// libbpf's own messages: the first warning and the verifier's log explain the error that follows, and --verbose shows
// all of them.
#pragma once

#include <string_view>

#include "base/result.h"

namespace monitor {

// Captures libbpf's messages from now on, and discards earlier ones.
void capture_libbpf_messages();

// Whether this thread also writes them to stderr.
void show_libbpf_messages(bool show);

// The error for `operation` ("load the BPF programs") that failed with `saved_errno`, explained by libbpf's first
// warning, the verifier's log and the machine's state.
Error libbpf_error(std::string_view operation, int saved_errno);

}  // namespace monitor
