// SPDX-License-Identifier: Apache-2.0
// Explains why the kernel refused the engine, by the errno, libbpf's messages and the state of the machine.
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

// How libbpf marks the log of a rejected program.
inline constexpr std::string_view kVerifierLog = "-- BEGIN PROG LOAD LOG --\n";

// Whether a message of libbpf holds the log of the kernel's verifier.
bool has_verifier_log(std::string_view message);

// Explains why `operation` ("load the BPF programs", "attach on_received") failed with `saved_errno`. `log`: libbpf's
// first warning, and in the lines after it the verifier's log if there is one; may be empty. A log means that the
// kernel took the program and its verifier rejected it, so that permissions are not the cause.
Error explain_load_error(std::string_view operation, int saved_errno, std::string_view log,
                         const MachineState& machine);

}  // namespace monitor
