/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A system call of a program that is narrower than the kernel, in the terms of the kernel's own calls.
 */
#ifndef MONITOR_ARCH_COMPAT_CALL_BPF_H
#define MONITOR_ARCH_COMPAT_CALL_BPF_H

#include "vmlinux.h"

/* No call that moves bytes or closes a descriptor. */
#define SYSCALL_OTHER (~0U)

#define COMPAT_ARGUMENTS 5

/* A system call of a 32-bit program. */
struct compat_call {
	__u32 number;
	__u32 arguments[COMPAT_ARGUMENTS];
};

#endif
