/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * System calls of 32-bit programs on x86-64, and those that a 64-bit program makes by int 0x80: their numbers
 * (arch/x86/entry/syscalls/syscall_32.tbl) and registers. Older C libraries make all calls on sockets by one system
 * call, socketcall, whose arguments are an array in memory (include/uapi/linux/net.h).
 */
#ifndef MONITOR_ARCH_I386_BPF_H
#define MONITOR_ARCH_I386_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "arch/compat_call.bpf.h"
#include "arch/x86_64.bpf.h"
#include "lib/pure.h"

enum {
	I386_READ = 3,
	I386_WRITE = 4,
	I386_CLOSE = 6,
	I386_SOCKETCALL = 102,
	I386_READV = 145,
	I386_WRITEV = 146,
	I386_SENDFILE = 187,
	I386_SENDFILE64 = 239,
	I386_SPLICE = 313,
	I386_RECVMMSG = 337,
	I386_SENDMMSG = 345,
	I386_LISTEN = 363,
	I386_ACCEPT4 = 364,
	I386_SENDTO = 369,
	I386_SENDMSG = 370,
	I386_RECVFROM = 371,
	I386_RECVMSG = 372,
	I386_SHUTDOWN = 373,
	I386_PREADV2 = 378,
	I386_PWRITEV2 = 379,
	I386_RECVMMSG_TIME64 = 417,
};

/* The first argument of socketcall. */
enum {
	SOCKETCALL_LISTEN = 4,
	SOCKETCALL_ACCEPT = 5,
	SOCKETCALL_SEND = 9,
	SOCKETCALL_RECV = 10,
	SOCKETCALL_SENDTO = 11,
	SOCKETCALL_RECVFROM = 12,
	SOCKETCALL_SHUTDOWN = 13,
	SOCKETCALL_SENDMSG = 16,
	SOCKETCALL_RECVMSG = 17,
	SOCKETCALL_ACCEPT4 = 18,
	SOCKETCALL_RECVMMSG = 19,
	SOCKETCALL_SENDMMSG = 20,
};

static __always_inline void compat_call_read(struct compat_call *call, const struct pt_regs *regs)
{
	call->number = regs->orig_ax;
	call->arguments[0] = regs->bx;
	call->arguments[1] = regs->cx;
	call->arguments[2] = regs->dx;
	call->arguments[3] = regs->si;
	call->arguments[4] = regs->di;
}

/* Replaces a socketcall by the call that it stands for, and its arguments by those in memory. */
static __always_inline __u32 socketcall_number(struct compat_call *call)
{
	__u32 number, words, address = call->arguments[1];

	switch (call->arguments[0]) {
	case SOCKETCALL_SEND:
	case SOCKETCALL_SENDTO:
		number = SYSCALL_SENDTO;
		words = 4;
		break;
	case SOCKETCALL_RECV:
	case SOCKETCALL_RECVFROM:
		number = SYSCALL_RECVFROM;
		words = 4;
		break;
	case SOCKETCALL_LISTEN:
		number = SYSCALL_LISTEN;
		words = 2;
		break;
	case SOCKETCALL_SHUTDOWN:
		number = SYSCALL_SHUTDOWN;
		words = 2;
		break;
	case SOCKETCALL_SENDMSG:
		number = SYSCALL_SENDMSG;
		words = 3;
		break;
	case SOCKETCALL_RECVMSG:
		number = SYSCALL_RECVMSG;
		words = 3;
		break;
	case SOCKETCALL_RECVMMSG:
		number = SYSCALL_RECVMMSG;
		words = 5;
		break;
	case SOCKETCALL_SENDMMSG:
		number = SYSCALL_SENDMMSG;
		words = 4;
		break;
	default:
		return SYSCALL_OTHER;
	}
	barrier_var(words); /* the compiler makes a table of it, of which the verifier knows no bound */
	if (words > COMPAT_ARGUMENTS ||
	    bpf_probe_read_user(call->arguments, words * sizeof(__u32), (void *)(__u64)address))
		return SYSCALL_OTHER;
	return number;
}

static __always_inline __u32 i386_number(struct compat_call *call)
{
	switch (call->number) {
	case I386_READ:
		return SYSCALL_READ;
	case I386_WRITE:
		return SYSCALL_WRITE;
	case I386_CLOSE:
		return SYSCALL_CLOSE;
	case I386_SOCKETCALL:
		return socketcall_number(call);
	case I386_READV:
		return SYSCALL_READV;
	case I386_WRITEV:
		return SYSCALL_WRITEV;
	case I386_SENDFILE:
	case I386_SENDFILE64:
		return SYSCALL_SENDFILE;
	case I386_SPLICE:
		return SYSCALL_SPLICE;
	case I386_RECVMMSG:
	case I386_RECVMMSG_TIME64:
		return SYSCALL_RECVMMSG;
	case I386_SENDMMSG:
		return SYSCALL_SENDMMSG;
	case I386_SENDTO:
		return SYSCALL_SENDTO;
	case I386_SENDMSG:
		return SYSCALL_SENDMSG;
	case I386_RECVFROM:
		return SYSCALL_RECVFROM;
	case I386_RECVMSG:
		return SYSCALL_RECVMSG;
	case I386_LISTEN:
		return SYSCALL_LISTEN;
	case I386_SHUTDOWN:
		return SYSCALL_SHUTDOWN;
	case I386_PREADV2:
		return SYSCALL_PREADV2;
	case I386_PWRITEV2:
		return SYSCALL_PWRITEV2;
	}
	return SYSCALL_OTHER;
}

GLOBAL_FUNC int compat_call_translate(struct compat_call *call)
{
	if (call)
		call->number = i386_number(call);
	return 0;
}

/* One bit for the last six bits of each number that one of the functions below accepts. */
#define NUMBER_BIT(number) (1ULL << ((number)&63))

static __always_inline bool syscall_may_listen(long number)
{
	return number == SYSCALL_LISTEN || number == I386_LISTEN || number == I386_SOCKETCALL;
}

static __always_inline bool syscall_may_accept(long number)
{
	return number == SYSCALL_ACCEPT || number == SYSCALL_ACCEPT4 || number == I386_ACCEPT4 ||
	       number == I386_SOCKETCALL;
}

static __always_inline bool syscall_may_close(long number)
{
	__u64 bits = NUMBER_BIT(SYSCALL_CLOSE) | NUMBER_BIT(SYSCALL_SHUTDOWN) | NUMBER_BIT(I386_CLOSE) |
		     NUMBER_BIT(I386_SHUTDOWN) | NUMBER_BIT(I386_SOCKETCALL) | NUMBER_BIT(SYSCALL_LISTEN) |
		     NUMBER_BIT(I386_LISTEN);

	return bits >> (number & 63) & 1;
}

#endif
