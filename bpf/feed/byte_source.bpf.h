/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where the bytes of an event come from. A hook names the source; streams.bpf.h opens it and gives the bytes to a
 * protocol, which sees only struct user_bytes. Another source, such as the arguments of a TLS library's functions, is
 * one more kind here and a file with what it does.
 */
#ifndef MONITOR_BYTE_SOURCE_BPF_H
#define MONITOR_BYTE_SOURCE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "arch/syscall.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/syscall_source.bpf.h"
#include "state/conn.bpf.h"

/* Where the bytes of an event are to be found. The hook knows the kind at compile time. */
enum byte_source_kind {
	SOURCE_RUNNING_CALL, /* the registers of the current system call, if it is one on socket `sk` */
	SOURCE_ENDED_CALL,   /* the registers `regs` of a system call that is over */
};

struct byte_source {
	enum byte_source_kind kind;
	struct sock *sk;
	struct task_struct *task; /* of SOURCE_RUNNING_CALL: the current task, or NULL if not fetched yet */
	const struct pt_regs *regs;
	__u32 result; /* of SOURCE_ENDED_CALL: what the call returned */
	bool narrow;  /* of SOURCE_ENDED_CALL: of a 32-bit program */
};

/* Finds the registers of the system call that runs in the current task, if it is one on socket `sk`. Returns the reason
 * why they cannot be used, or UNDERCOUNT_NONE. */
static __always_inline int running_registers(struct walk_scratch *x, struct task_struct *task, struct sock *sk,
					     const struct pt_regs **regs)
{
	*regs = saved_registers(x, task);
	/* If no call is running, the registers are left over from an earlier one. io_uring can send and receive at such
	 * a time. */
	if (!syscall_is_running(*regs) || !fd_is_socket(task, SYSCALL_ARG1(*regs), sk))
		return syscall_number(*regs) == SYSCALL_SPLICE ? UNDERCOUNT_GAP : UNDERCOUNT_REGISTERS;
	return UNDERCOUNT_NONE;
}

/*
 * Fills in x->bytes with the `length` bytes of an event, a send if `sends`, otherwise a receive. `position` is that of
 * the connection in this direction. Returns the reason why the bytes cannot be found, or UNDERCOUNT_NONE.
 */
static __always_inline int source_open(struct walk_scratch *x, const struct byte_source *source, __u64 length,
				       struct message_cursor *position, bool sends)
{
	const struct pt_regs *regs = source->regs;
	struct task_struct *task = source->task;
	int unknown;

	if (source->kind == SOURCE_ENDED_CALL) {
		if (source->narrow)
			return compat_find_ended(x, regs, length, source->result, sends);
	} else {
		if (!task)
			task = bpf_get_current_task_btf();
		if (syscall_is_compat(task))
			return compat_find_running(x, source->sk, length, position, sends);
		unknown = running_registers(x, task, source->sk, &regs);
		if (unknown)
			return unknown;
	}
	return syscall_find_bytes(&x->bytes, regs, length, position, source->result, sends);
}

/* The `length` bytes of a send are not read: moves the source past them. */
static __always_inline void source_skip(struct conn *c, const struct byte_source *source, __u32 length)
{
	if (source->kind == SOURCE_RUNNING_CALL && has_messages(c))
		pass_message(c, length);
}

#endif
