// SPDX-License-Identifier: Apache-2.0
// The error when the engine cannot be loaded: it names what is missing and has the right exit status.
#include "session/load_error.h"

#include <doctest/doctest.h>

#include <cerrno>
#include <string>

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
  for (const int saved_errno : {EPERM, EACCES}) {
    for (const char* log : {"", "libbpf: prog 'on_received': BPF program load failed: Operation not permitted"}) {
      const Error error = explain_load_error("load the BPF programs", saved_errno, log, good_machine());
      CHECK(error.code == ErrorCode::kNotPermitted);
      CHECK(says(error, "seccomp"));
    }
  }
}

// What libbpf 1.1 prints when the verifier rejects a program.
std::string rejection(const std::string& reason, const std::string& error) {
  return "libbpf: prog 'on_received': BPF program load failed: " + error +
         "\nlibbpf: prog 'on_received': -- BEGIN PROG LOAD LOG --\n0: R1=ctx(off=0,imm=0) R10=fp0\n; int ret\n"
         "5: (79) r2 = *(u64 *)(r1 +0)\n" +
         reason +
         "\nprocessed 6 insns (limit 1000000) max_states_per_insn 0 total_states 0 peak_states 0 mark_read 0\n"
         "-- END PROG LOAD LOG --\n";
}

TEST_CASE("load error: a rejection by the verifier is no question of permissions") {
  struct Row {
    int saved_errno;
    const char* name;
    const char* reason;
  };
  for (const Row& row : {Row{EACCES, "Permission denied", "R1 invalid mem access 'scalar'"},
                         Row{EPERM, "Operation not permitted", "R2 pointer comparison prohibited"},
                         Row{EINVAL, "Invalid argument", "combined stack size of 3 calls is 544. Too large"},
                         Row{EFAULT, "Bad address", "R3 unbounded memory access"}}) {
    CAPTURE(row.reason);
    const Error error =
        explain_load_error("load the BPF programs", row.saved_errno, rejection(row.reason, row.name), good_machine());
    CHECK(error.code == ErrorCode::kUnsupported);
    CHECK(error.what == "load the BPF programs: the verifier of kernel 6.18.0 rejects the program on_received: " +
                            std::string(row.reason));
    CHECK(error.hint.find("--profile") != std::string::npos);
    CHECK(error.hint.find("--verbose") != std::string::npos);
  }
  MachineState machine = good_machine();
  machine.kernel_release = "5.10.0-28-amd64";
  const Error old =
      explain_load_error("load", EINVAL, rejection("unknown func bpf_loop#181", "Invalid argument"), machine);
  CHECK(old.code == ErrorCode::kUnsupported);
  CHECK(says(old, "unknown func bpf_loop#181"));
  CHECK(old.hint == "monitor needs Linux 6.1 or later");
}

TEST_CASE("load error: a program that is too large for the verifier") {
  for (const char* reason :
       {"BPF program is too large. Processed 1000001 insn", "The sequence of 8193 jumps is too complex."}) {
    CAPTURE(reason);
    const Error error =
        explain_load_error("load the BPF programs", E2BIG, rejection(reason, "Argument list too long"), good_machine());
    CHECK(error.code == ErrorCode::kUnsupported);
    CHECK(says(error, "rejects the program on_received as too large or too complex: " + std::string(reason)));
  }
  const Error map =
      explain_load_error("load the BPF programs", E2BIG,
                         "libbpf: map 'connections': failed to create: Argument list too long(-7)", good_machine());
  CHECK(map.code == ErrorCode::kUnsupported);
  CHECK(says(map, "takes the map connections for too large"));
  CHECK(map.hint.find("--max-connections") != std::string::npos);
}

TEST_CASE("load error: no memory") {
  const Error error =
      explain_load_error("load the BPF programs", ENOMEM,
                         "libbpf: map 'services': failed to create: Cannot allocate memory(-12)", good_machine());
  CHECK(error.code == ErrorCode::kFailed);
  CHECK(error.what == "load the BPF programs: Cannot allocate memory, for the map services");
  CHECK(error.hint.find("memory limit") != std::string::npos);
}

TEST_CASE("load error: a kernel that does not know a map or a flag") {
  MachineState machine = good_machine();
  machine.kernel_release = "5.10.0";
  const Error error = explain_load_error("load the BPF programs", EINVAL,
                                         "libbpf: map 'connections': failed to create: Invalid argument(-22)", machine);
  CHECK(error.code == ErrorCode::kUnsupported);
  CHECK(says(error, "kernel 5.10.0 does not accept the map connections (Invalid argument"));
  CHECK(error.hint == "monitor needs Linux 6.1 or later");
  CHECK(explain_load_error("attach on_state", EINVAL, "", good_machine()).hint.find("--verbose") != std::string::npos);
}

TEST_CASE("load error: any other failure shows the system's and libbpf's messages") {
  const Error error = explain_load_error("attach the BPF programs", EBUSY, "libbpf: map 'x': failed", good_machine());
  CHECK(error.code == ErrorCode::kFailed);
  CHECK(says(error, "Device or resource busy"));
  CHECK(says(error, "map 'x'"));
  CHECK(error.hint.find("--verbose") != std::string::npos);
}

}  // namespace monitor
