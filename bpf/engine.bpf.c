// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The engine's BPF object: one translation unit, one idea a header. Read them in this order: http1.h (the parser),
 * conn.bpf.h (the record of a connection), maps.bpf.h, endpoints.bpf.h, account.bpf.h (begin, end, close),
 * user_bytes.bpf.h and streams.bpf.h (bytes to parser), sockets.bpf.h, processes.bpf.h, iterators.bpf.h (the hooks).
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "iterators.bpf.h"
#include "processes.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
