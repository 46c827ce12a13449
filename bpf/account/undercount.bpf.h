/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What could not be counted, by cause: of a connection where it is known, otherwise of the target.
 */
#ifndef MONITOR_UNDERCOUNT_BPF_H
#define MONITOR_UNDERCOUNT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"

static __always_inline void undercount(__u32 target, __u32 cause)
{
	struct monitor_target *t = target_at(target);

	if (!t || cause == UNDERCOUNT_NONE)
		return;
	barrier_var(cause); /* else both tests become one subtraction, from which Linux 6.1 learns no bound */
	if (cause < UNDERCOUNT_CAUSES)
		__sync_fetch_and_add(&t->undercount[cause], 1);
}

static __always_inline void conn_undercount(struct conn *c, __u32 cause)
{
	struct monitor_listener *l = listener_at(c->listener);

	if (!l || cause == UNDERCOUNT_NONE)
		return;
	barrier_var(cause); /* as above */
	if (cause < UNDERCOUNT_CAUSES)
		__sync_fetch_and_add(&l->undercount[cause], 1);
}

/* The stream cannot be followed any further. It resumes at the next clean start of a request. */
static __always_inline void conn_lose(struct conn *c, __u32 cause)
{
	__u32 lost = c->flags & (CONN_LOST | CONN_IGNORED | CONN_ANSWERED);

	/* A lost stream is not lost again, except for the one response that was followed nevertheless. */
	if (lost == CONN_LOST || (lost & CONN_IGNORED))
		return;
	c->flags = (c->flags | CONN_LOST) & ~CONN_ANSWERED;
	conn_undercount(c, cause);
}

#endif
