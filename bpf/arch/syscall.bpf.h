/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The current system call, read from its registers. This is the only folder that names registers. A header for another
 * architecture provides:
 *
 *	enum SYSCALL_*        the numbers of the same system calls
 *	syscall_number        the number of the call, still readable at sys_exit
 *	syscall_is_compat     whether the task is in a system call of a 32-bit program, or one by int 0x80: the number
 *	                      and the registers are then others, and structures have 32-bit members
 *	compat_call_read      the number and the arguments of such a call, from its registers
 *	compat_call_translate replaces that number by the SYSCALL_* that does the same, or by SYSCALL_OTHER
 *	syscall_may_close     whether a number is close, shutdown or listen, of a program of either kind. It may return
 *	                      true for others, but must be one test: it runs for every system call on the machine
 *	syscall_may_listen    likewise for listen
 *	syscall_may_accept    likewise for accept and accept4
 *	syscall_is_running    whether the registers belong to a call that has not returned yet. There is no common way:
 *	                      x86-64 has -ENOSYS in the result register until then. arm64 does not store -ENOSYS; its
 *	                      result register x0 equals orig_x0 until the call returns (and after it, if the call
 *returns its first argument)
 *
 * The arguments come from libbpf. They must have their values from the entry at sys_exit too: arm64 overwrites x0 with
 * the result, so libbpf reads orig_x0.
 *
 * Outside this folder, another architecture needs its members of struct pt_regs in vmlinux/vmlinux.h and its
 * __TARGET_ARCH_* in bpf/CMakeLists.txt. Where the memory order is weaker than on x86-64, also check each atomic whose
 * result is unused: clang compiles it without ordering, so it is not a barrier (close_behind_send relies on one).
 */
#ifndef MONITOR_ARCH_SYSCALL_BPF_H
#define MONITOR_ARCH_SYSCALL_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_tracing.h>

#include "arch/compat_call.bpf.h"

#ifdef __TARGET_ARCH_x86
#include "arch/i386.bpf.h"
#include "arch/x86_64.bpf.h"
#else
#error "no header in bpf/arch/ for this architecture"
#endif

/* The arguments of the call, with their values from the entry. */
#define SYSCALL_ARG1(regs) PT_REGS_PARM1_SYSCALL(regs)
#define SYSCALL_ARG2(regs) PT_REGS_PARM2_SYSCALL(regs)
#define SYSCALL_ARG3(regs) PT_REGS_PARM3_SYSCALL(regs)
#define SYSCALL_ARG4(regs) PT_REGS_PARM4_SYSCALL(regs)
#define SYSCALL_ARG5(regs) PT_REGS_PARM5_SYSCALL(regs)

#endif
