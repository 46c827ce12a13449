/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls on x86-64: their numbers (arch/x86/entry/syscalls/syscall_64.tbl) and which register holds the number
 * while a call runs. The arguments come from libbpf's PT_REGS_PARMn_SYSCALL.
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
	SYSCALL_SPLICE = 275,
	SYSCALL_RECVMMSG = 299,
	SYSCALL_SENDMMSG = 307,
	SYSCALL_PREADV2 = 327,
	SYSCALL_PWRITEV2 = 328,
};

/* The number of the system call that these registers entered the kernel with. */
static __always_inline __u64 syscall_number(const struct pt_regs *regs)
{
	return regs->orig_ax;
}

/* Whether that call is still running: the entry code stores -ENOSYS where the result goes once the call is over. */
static __always_inline bool syscall_is_running(const struct pt_regs *regs)
{
	return (long)regs->ax == -ENOSYS;
}

#endif
