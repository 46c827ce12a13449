// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The parser's cases in the kernel: user space writes an input, runs the program once (BPF_PROG_TEST_RUN) and reads the
 * trace. Never attached to anything.
 */
#include "parser/trace.h"

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct trace_input);
} inputs SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct trace);
} traces SEC(".maps");

struct {
  __uint(type, BPF_MAP_TYPE_ARRAY);
  __uint(max_entries, 1);
  __type(key, __u32);
  __type(value, struct http1_window);
} windows SEC(".maps");

SEC("syscall")
int run_trace(void* ctx) {
  __u32 zero = 0;
  struct trace_input* input = bpf_map_lookup_elem(&inputs, &zero);
  struct trace* trace = bpf_map_lookup_elem(&traces, &zero);
  struct http1_window* window = bpf_map_lookup_elem(&windows, &zero);

  if (!input || !trace || !window) return 1;
  trace_run(input, window, trace);
  return 0;
}

char LICENSE[] SEC("license") = "Dual BSD/GPL";
