// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The engine for the profile "syscall", without the kernel functions that only the profile "socket" calls. Weak symbols
 * are not enough: libbpf 1.1 (Debian 12) searches the kernel's modules for functions that it does not find in the
 * kernel, and fails without CAP_SYS_ADMIN, which listing modules requires. Programs, maps and variables are the same,
 * so engine.skel.h serves both.
 */
#define MONITOR_NO_KERNEL_FUNCTIONS
#include "engine.bpf.c"
