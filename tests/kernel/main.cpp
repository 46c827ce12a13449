// SPDX-License-Identifier: Apache-2.0
// The kernel tests need BPF. Without it they print why and exit 77, which ctest reports as skipped.
#define DOCTEST_CONFIG_IMPLEMENT
#include <doctest/doctest.h>

#include <cstdio>

#include "session/load_error.h"

int main(int argc, char** argv) {
  const monitor::MachineState machine = monitor::machine_state();
  if (!machine.missing_capabilities.empty() || !machine.has_btf) {
    std::fprintf(
        stderr, "skipped: %s\n",
        machine.has_btf ? ("this process lacks " + machine.missing_capabilities).c_str() : "the kernel has no BTF");
    return 77;
  }
  doctest::Context context(argc, argv);
  return context.run();
}
