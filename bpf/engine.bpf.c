// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The engine's BPF object: one translation unit, one idea per header. Each folder stands on those before it. Read them
 * in this order:
 *
 *	lib, arch	macros; registers and system call numbers
 *	http1		the parser
 *	quic		what a QUIC datagram looks like
 *	state		maps, the record of a connection, its requests, endpoints, what is read of a socket
 *	account		open and close of a connection, begin, head and end of a request: the only code that counts
 *	feed		a byte source finds the bytes of a call, a protocol reads them and reports to account
 *	hooks, iter	the programs: on kernel events, and for user space to run
 */
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "hooks/arrivals.bpf.h"
#include "hooks/processes.bpf.h"
#include "hooks/sockets.bpf.h"
#include "hooks/syscalls.bpf.h"
#include "hooks/unix.bpf.h"
#include "iter/commands.bpf.h"
#include "iter/records.bpf.h"
#include "iter/sockets.bpf.h"

char LICENSE[] SEC("license") = "Dual BSD/GPL";
