// SPDX-License-Identifier: Apache-2.0
// Explains why the kernel refused the engine, by the errno, libbpf's first warning and the state of the machine.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"

namespace monitor {

// What decides whether a machine can run the engine. It is a parameter so that tests can describe any machine.
struct MachineState {
  std::string kernel_release;
  std::string missing_capabilities;  // comma-separated; empty if this process has all that it needs
  bool has_btf = true;
  bool sysfs_hidden = false;  // /sys/kernel is not the kernel's: not mounted, or something is mounted over it
  bool confidential = false;  // lockdown=confidentiality
};

// Reads the state of this machine.
MachineState machine_state();

// Explains why `operation` ("load the BPF programs", "attach on_received") failed with `saved_errno`. `log`: libbpf's
// first warning, or empty.
Error explain_load_error(std::string_view operation, int saved_errno, std::string_view log,
                         const MachineState& machine);

}  // namespace monitor
