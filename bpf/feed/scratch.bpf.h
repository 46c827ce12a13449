/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The state of one walk over the bytes of a receive or send. It is too large for a program's stack.
 */
#ifndef MONITOR_FEED_SCRATCH_BPF_H
#define MONITOR_FEED_SCRATCH_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "arch/syscall.bpf.h"
#include "feed/routes.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "http1/path_fold.h"
#include "http1/stream.h"
#include "quic/datagram.h"

/* What a system call does with the stream of a socket; hooks/syscalls.bpf.h. */
struct socket_call {
	__u64 fd;
	__u32 flags; /* MSG_* */
	__u32 what;  /* CALL_* */
};

/*
 * Scratch space for each CPU and direction. A hook in softirq can interrupt one in process context, but a hook never
 * interrupts itself, because the kernel drops the inner event and counts it in recursion_misses. Uprobes have no such
 * guard: their programs need scratch space of their own.
 */
struct walk_scratch {
	struct user_bytes bytes;
	__u64 registers_at; /* offset of the registers from the stack's start; see saved_registers */
	struct compat_call compat;
	struct socket_call call;
	struct route_search route;
	struct fold fold;
	struct http1_window window;
	struct quic_head datagram;
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk_scratch);
} receive_scratch SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct walk_scratch);
} send_scratch SEC(".maps");

#endif
