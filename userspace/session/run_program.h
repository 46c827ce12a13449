// SPDX-License-Identifier: Apache-2.0
// Runs a BPF program of the kind "syscall" once: what the kernel side must do itself, since it races with the hooks.
#pragma once

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#include <cerrno>
#include <string_view>

#include "base/result.h"

namespace monitor {

// `context` is what the program is given; `what` says for an error what was to be done.
template <typename Context>
Status run_program(const bpf_program* program, Context context, std::string_view what) {
  bpf_test_run_opts options{};
  options.sz = sizeof(options);
  options.ctx_in = &context;
  options.ctx_size_in = sizeof(context);
  if (bpf_prog_test_run_opts(bpf_program__fd(program), &options) != 0) {
    return system_error(errno, what);
  }
  return Ok{};
}

}  // namespace monitor
