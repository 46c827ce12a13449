// SPDX-License-Identifier: Apache-2.0
// Explains why the engine could not be loaded, from the errno, libbpf's first warning and the machine's state.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace monitor {

// What matters about the machine, apart from the errno; a parameter so that tests need no such machine.
struct MachineState {
  std::string kernel_release;
  std::string missing_capabilities;  // comma-separated, empty when none is missing
  bool has_btf = true;
  bool sysfs_hidden = false;  // /sys/kernel is not the kernel's: not mounted, or something is mounted over it
  bool confidential = false;  // lockdown=confidentiality
};

// Reads the state of this machine.
MachineState machine_state();

// The error for `operation` ("load", "attach on_received") that failed with `saved_errno`; `log` is what libbpf said.
Error explain_load_error(std::string_view operation, int saved_errno, std::string_view log,
                         const MachineState& machine);

}  // namespace monitor
