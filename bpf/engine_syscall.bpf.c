// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * The engine again, for the profile "syscall": without the kernel functions that only the profile "socket" calls. That
 * they are weak would do, were it not for libbpf 1.1 (Debian 12's): what it does not find in the kernel it looks for in
 * the kernel's modules, and where it may not list those, which takes CAP_SYS_ADMIN, it fails. Programs, maps and
 * variables are the same, so that engine.skel.h serves both.
 */
#define MONITOR_NO_KERNEL_FUNCTIONS
#include "engine.bpf.c"
