/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A system call by its registers, for the architecture that this object is built for. The only folder that names
 * registers: another architecture is one more header with the same enum and functions.
 */
#ifndef MONITOR_ARCH_SYSCALL_BPF_H
#define MONITOR_ARCH_SYSCALL_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_tracing.h>

#ifdef __TARGET_ARCH_x86
#include "arch/x86_64.bpf.h"
#else
#error "no header in bpf/arch/ for this architecture"
#endif

/* The arguments of the call, as its registers held them at the entry. */
#define SYSCALL_ARG1(regs) PT_REGS_PARM1_SYSCALL(regs)
#define SYSCALL_ARG2(regs) PT_REGS_PARM2_SYSCALL(regs)
#define SYSCALL_ARG3(regs) PT_REGS_PARM3_SYSCALL(regs)
#define SYSCALL_ARG4(regs) PT_REGS_PARM4_SYSCALL(regs)
#define SYSCALL_ARG5(regs) PT_REGS_PARM5_SYSCALL(regs)

#endif
