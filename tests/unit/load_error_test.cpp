// SPDX-License-Identifier: Apache-2.0
// The error when the engine cannot be loaded: it names what is missing and has the right exit status.
#include "session/load_error.h"

#include <doctest/doctest.h>

#include <cerrno>

namespace monitor {
namespace {

MachineState good_machine() {
  return MachineState{.kernel_release = "6.18.0", .missing_capabilities = {}};
}

bool says(const Error& error, std::string_view part) {
  return error.what.find(part) != std::string::npos;
}

}  // namespace

TEST_CASE("load error: a missing capability is named") {
  MachineState machine = good_machine();
  machine.missing_capabilities = "CAP_BPF, CAP_PERFMON";
  const Error error = explain_load_error("load the BPF programs", EPERM, "", machine);
  CHECK(error.code == ErrorCode::kNotPermitted);
  CHECK(says(error, "load the BPF programs: "));
  CHECK(says(error, "CAP_BPF, CAP_PERFMON"));
  CHECK(error.hint.find("sudo") != std::string::npos);
}

TEST_CASE("load error: a missing kernel feature is named") {
  MachineState machine = good_machine();
  machine.kernel_release = "5.4.0";
  machine.has_btf = false;
  Error error = explain_load_error("load the BPF programs", ENOENT, "", machine);
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(says(error, "BTF"));
  CHECK(says(error, "5.4.0"));

  machine.sysfs_hidden = true;  // then nobody knows whether there is BTF
  error = explain_load_error("load the BPF programs", ENOENT, "", machine);
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(says(error, "/sys/kernel is hidden"));
  CHECK_FALSE(says(error, "has no BTF"));

  machine = good_machine();
  machine.confidential = true;
  error = explain_load_error("load the BPF programs", EPERM, "", machine);
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(says(error, "lockdown"));

  machine = good_machine();
  machine.kernel_release = "6.1.0";
  error = explain_load_error("load the BPF programs", ESRCH,
                             "libbpf: prog 'on_received': failed to find kernel BTF type ID of 'sock_recv_length': -3",
                             machine);
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(says(error, "tracepoint sock_recv_length"));
  CHECK(says(error, "6.1.0"));
  CHECK(error.hint.find("6.3") != std::string::npos);
}

TEST_CASE("load error: permission denied although nothing is missing") {
  const Error error = explain_load_error("load the BPF programs", EPERM, "", good_machine());
  CHECK(error.code == ErrorCode::kNotPermitted);
  CHECK(says(error, "seccomp"));
}

TEST_CASE("load error: any other failure shows the system's and libbpf's messages") {
  const Error error = explain_load_error("attach the BPF programs", ENOMEM, "libbpf: map 'x': failed", good_machine());
  CHECK(error.code == ErrorCode::kFailed);
  CHECK(says(error, "Cannot allocate memory"));
  CHECK(says(error, "map 'x'"));
  CHECK(error.hint.find("--verbose") != std::string::npos);
}

}  // namespace monitor
