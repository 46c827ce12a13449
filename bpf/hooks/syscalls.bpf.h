/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hook of the profile "syscall", for kernels before 6.3. At the end of each system call, its registers, its result
 * and the descriptor's socket show what was read or written. It is one tracing program for all system calls, with its
 * own recursion guard, so it loses no call. Tracepoints of single calls share one guard with every process that reads
 * a map on that CPU, and need tracefs.
 */
#ifndef MONITOR_SYSCALLS_BPF_H
#define MONITOR_SYSCALLS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close_events.bpf.h"
#include "account/handover.bpf.h"
#include "account/open.bpf.h"
#include "account/undercount.bpf.h"
#include "arch/syscall.bpf.h"
#include "feed/byte_source.bpf.h"
#include "feed/datagrams.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/streams.bpf.h"
#include "feed/syscall_source.bpf.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

#define CALL_RECEIVES 1
#define CALL_SENDS    2
#define CALL_MESSAGES 4 /* several: it returns how many passed */
#define CALL_NARROW   8 /* of a 32-bit program */

static __always_inline void classify_call(struct socket_call *call, __u64 number, __u64 first, __u64 third,
					  __u64 fourth)
{
	call->fd = first;
	switch (number) {
	case SYSCALL_RECVFROM:
		call->flags = fourth;
		call->what |= CALL_RECEIVES;
		break;
	case SYSCALL_RECVMMSG:
		call->flags = fourth;
		call->what |= CALL_RECEIVES | CALL_MESSAGES;
		break;
	case SYSCALL_RECVMSG:
		call->flags = third;
		call->what |= CALL_RECEIVES;
		break;
	case SYSCALL_READ:
	case SYSCALL_READV:
	case SYSCALL_PREADV2:
		call->what |= CALL_RECEIVES;
		break;
	case SYSCALL_SENDMMSG:
		call->what |= CALL_SENDS | CALL_MESSAGES;
		break;
	case SYSCALL_WRITE:
	case SYSCALL_WRITEV:
	case SYSCALL_SENDTO:
	case SYSCALL_SENDMSG:
	case SYSCALL_PWRITEV2:
	case SYSCALL_SENDFILE:
		call->what |= CALL_SENDS;
		break;
	case SYSCALL_SPLICE:
		/* splice into a socket; out of a socket it shows as a gap at the next receive */
		call->fd = third;
		call->what |= CALL_SENDS;
		break;
	}
}

static __always_inline void read_call(struct socket_call *call, const struct pt_regs *regs)
{
	classify_call(call, syscall_number(regs), SYSCALL_ARG1(regs), SYSCALL_ARG3(regs), SYSCALL_ARG4(regs));
}

/* Does the same for the call of a 32-bit program. */
static __always_inline void read_compat_call(struct walk_scratch *x, const struct pt_regs *regs)
{
	compat_call_read(&x->compat, regs);
	compat_call_translate(&x->compat);
	x->call.what = CALL_NARROW;
	classify_call(&x->call, x->compat.number, x->compat.arguments[0], x->compat.arguments[2],
		      x->compat.arguments[3]);
}

/* Returns whether the call does this; `flag` is a CALL_*. */
static __always_inline bool call_does(const struct walk_scratch *x, __u32 flag)
{
	return READ_ONCE(x->call.what) & flag;
}

/* Returns whether a process that accepts a connection may join a target. */
static __always_inline bool may_join_by_accepting(void)
{
	return is_orphaned() || READ_ONCE(shared_count);
}

/* A call of process `pid` of no target, which may be accept(), has returned `fd`. Accepts are far fewer than reads,
 * which under the profile "socket" show the same. */
static __always_inline void accepter_joins(struct task_struct *task, const struct pt_regs *regs, long fd, __u32 pid)
{
	struct sock *sk = fd_sock(task, fd);
	__u64 listener, *shared;

	if (!sk)
		return;
	listener = (__u64)fd_sock(task, SYSCALL_ARG1(regs));
	shared = bpf_map_lookup_elem(&shared_listeners, &listener);
	if (shared || is_orphaned())
		join_by_reading(sk, pid, shared ? *shared : 0);
}

/* Bytes of a TCP connection were received: they arrived when the kernel says that its last ones did. That is in
 * jiffies, and the last one does not count, so that a request which did not wait has no wait. */
static __attribute__((noinline)) int note_coarse_arrival(struct conn *c, const struct socket_info *f)
{
	if (!c || !f)
		return 0;
	arrivals_note(&c->arrivals, f->copied_seq, f->copied_seq, bpf_ktime_get_ns() - socket_info_waited_ns(f));
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(on_syscall, struct pt_regs *regs, long ret)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 pid = task->tgid, length, gap = 0;
	struct opening o = {};
	struct byte_source source = {.kind = SOURCE_ENDED_CALL, .regs = regs, .result = ret};
	struct walk_scratch *x;
	__u32 zero = 0;
	struct conn *c;
	struct sock *sk;
	__u8 shutdown;

	if (!is_followed(pid)) {
		if (may_join_by_accepting() && ret >= 0 && syscall_may_accept(syscall_number(regs)))
			accepter_joins(task, regs, ret, pid);
		return 0;
	}
	/* What is known of the call is in the memory of a map. Were it on the stack, the verifier of Linux 6.1 would
	 * take what it knows of it on one path for true on others, after the calls below, and delete their branches. */
	x = bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!x)
		return 0;
	x->call = (struct socket_call){};
	if (syscall_is_compat(task))
		read_compat_call(x, regs);
	else
		read_call(&x->call, regs);
	if (!call_does(x, CALL_RECEIVES | CALL_SENDS))
		return 0;
	if (call_does(x, CALL_RECEIVES) && (x->call.flags & MSG_ASIDE))
		return 0;
	source.narrow = call_does(x, CALL_NARROW);
	sk = fd_sock(task, x->call.fd);
	if (!sk)
		return 0;
	socket_info_read(&o.socket, sk);
	length = ret > 0 ? ret : 0;
	if (length && call_does(x, CALL_MESSAGES))
		length = syscall_sum_messages(regs, ret, source.narrow);
	if (!o.socket.stream) {
		if (call_does(x, CALL_RECEIVES) && length)
			datagram_received(sk, regs, pid, length);
		return 0;
	}
	c = addressed_open(&o, pid, call_does(x, CALL_RECEIVES) ? length : 0);
	if (!c || c->role != ROLE_SERVER)
		return 0;
	shutdown = BPF_CORE_READ(sk, sk_shutdown);
	if (!length) {
		if (o.socket.tcp)
			catch_up_close(c, o.socket.state);
		else
			catch_up_client(c, sk);
		return 0;
	}
	if (call_does(x, CALL_RECEIVES)) {
		if (o.socket.counts) {
			gap = receive_gap(o.socket.copied_seq - c->copied_seq, length, shutdown);
			if ((__s32)gap < 0) {
				/* The connection may have been adopted during this call: then the record includes its
				 * bytes already. Otherwise the descriptor now refers to another socket than at the
				 * start of the call. */
				if (!(c->flags & CONN_ADOPTED))
					conn_undercount(c, UNDERCOUNT_GAP);
				return 0;
			}
			c->copied_seq = o.socket.copied_seq;
			if (!o.socket.mptcp)
				note_coarse_arrival(c, &o.socket);
		}
		if (!(c->flags & (CONN_IGNORED | CONN_TUNNEL)))
			received(c, &source, length, gap, !(READ_ONCE(x->call.flags) & MSG_TRUNC));
		return 0;
	}
	if (o.socket.tcp) {
		gap = o.socket.write_seq - c->write_seq - length;
		if (o.socket.counts)
			note_unseen(c, o.socket.copied_seq, shutdown);
	}
	sent(c, &source, length, gap);
	if (o.socket.tcp)
		send_done(c, o.socket.write_seq);
	return 0;
}

#endif
