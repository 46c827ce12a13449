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
	SYSCALL_SENDTO = 44,
	SYSCALL_RECVFROM = 45,
	SYSCALL_SENDMSG = 46,
	SYSCALL_RECVMSG = 47,
	SYSCALL_SHUTDOWN = 48,
	SYSCALL_SPLICE = 275,
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

/* Returns whether the task is in a system call of a 32-bit program, or one by int 0x80: its number is another one's,
 * its structures have 32-bit members. The exit hook runs before the kernel clears this (TS_COMPAT,
 * arch/x86/include/asm/thread_info.h). */
static __always_inline bool syscall_is_compat(const struct task_struct *task)
{
	return task->thread_info.status & 2;
}

/* The numbers of the compat system calls that receive (arch/x86/entry/syscalls/syscall_32.tbl), and of the receiving
 * calls of socketcall, which is one system call for all (include/uapi/linux/net.h). */
static __always_inline bool syscall_compat_receives(const struct pt_regs *regs)
{
	switch (regs->orig_ax) {
	case 102: /* socketcall: recv, recvfrom, recvmsg, recvmmsg */
		return regs->bx == 10 || regs->bx == 12 || regs->bx == 17 || regs->bx == 19;
	case 337: /* recvmmsg */
	case 371: /* recvfrom */
	case 372: /* recvmsg */
	case 417: /* recvmmsg_time64 */
		return true;
	}
	return false;
}

/* Returns whether that call is still running. The entry code puts -ENOSYS into the result register
 * (arch/x86/entry/entry_64.S), and the result replaces it when the call returns. */
static __always_inline bool syscall_is_running(const struct pt_regs *regs)
{
	return (long)regs->ax == -ENOSYS;
}

#endif
