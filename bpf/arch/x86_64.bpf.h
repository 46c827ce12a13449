/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls on x86-64: their numbers (arch/x86/entry/syscalls/syscall_64.tbl), the register that holds the number,
 * and how to see that a call is still running. syscall.bpf.h says what the arguments come from.
 */
#ifndef MONITOR_ARCH_X86_64_BPF_H
#define MONITOR_ARCH_X86_64_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

enum {
	SYSCALL_READ = 0,
	SYSCALL_WRITE = 1,
	SYSCALL_CLOSE = 3,
	SYSCALL_READV = 19,
	SYSCALL_WRITEV = 20,
	SYSCALL_SENDFILE = 40,
	SYSCALL_ACCEPT = 43,
	SYSCALL_SENDTO = 44,
	SYSCALL_RECVFROM = 45,
	SYSCALL_SENDMSG = 46,
	SYSCALL_RECVMSG = 47,
	SYSCALL_SHUTDOWN = 48,
	SYSCALL_LISTEN = 50,
	SYSCALL_SPLICE = 275,
	SYSCALL_ACCEPT4 = 288,
	SYSCALL_RECVMMSG = 299,
	SYSCALL_SENDMMSG = 307,
	SYSCALL_PREADV2 = 327,
	SYSCALL_PWRITEV2 = 328,
};

/* Returns the number of the system call that entered the kernel with these registers. */
static __always_inline __u64 syscall_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* The exit hook runs before the kernel clears this (TS_COMPAT, arch/x86/include/asm/thread_info.h). */
static __always_inline bool syscall_is_compat(const struct task_struct *task)
{
	return task->thread_info.status & 2;
}

/* Returns whether that call is still running. The entry code puts -ENOSYS into the result register
 * (arch/x86/entry/entry_64.S), and the result replaces it when the call returns. */
static __always_inline bool syscall_is_running(const struct pt_regs *regs)
{
	return (long)regs->ax == -ENOSYS;
}

#endif
