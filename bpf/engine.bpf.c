// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The engine's BPF object: one translation unit, one idea a header. Read them in this order: http1/parser.h,
 * conn.bpf.h (the record of a connection), maps.bpf.h, endpoints.bpf.h, account.bpf.h and close.bpf.h (begin, end,
 * close), adopted.bpf.h (what began before the attach), socket_info.bpf.h and records.bpf.h (a socket and its record),
 * user_bytes.bpf.h and streams.bpf.h (bytes to parser); then the hooks: sockets.bpf.h, syscalls.bpf.h, unix.bpf.h,
 * processes.bpf.h; and iterators.bpf.h (what user space asks for).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "iter/iterators.bpf.h"
#include "hooks/processes.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
