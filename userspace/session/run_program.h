// SPDX-License-Identifier: Apache-2.0
// Runs a BPF program once. Such a program is attached to nothing. It makes a change that only the kernel side can make,
// because the change races with the hooks.
#pragma once

#include <bpf/bpf.h>

#include <array>
#include <cerrno>
#include <cstdint>
#include <string_view>

#include "base/result.h"
#include "session/objects.h"

namespace monitor {

// Passes `arguments` to the program; `what` names the operation in an error.
template <std::size_t N>
Status run_program(const Program& program, std::array<std::uint64_t, N> arguments, std::string_view what) {
  bpf_test_run_opts options{};
  options.sz = sizeof(options);
  options.ctx_in = arguments.data();
  options.ctx_size_in = sizeof(arguments);
  if (bpf_prog_test_run_opts(program.fd(), &options) != 0) {
    return system_error(errno, what);
  }
  return Ok{};
}

}  // namespace monitor
