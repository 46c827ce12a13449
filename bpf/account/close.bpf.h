/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Ends what is in flight on a connection all at once: when the connection closes, when a lost stream resumes at the
 * next clean start of a request, and when it turns out that the connection speaks another protocol.
 */
#ifndef MONITOR_CLOSE_BPF_H
#define MONITOR_CLOSE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "account/requests.bpf.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/requests.bpf.h"

struct close_loop {
	struct conn *c;
	__u64 word; /* of the connection when it closed */
	__u32 kind; /* enum close_kind */
};

static int close_step(__u32 i, struct close_loop *loop)
{
	__u32 id = request_id_at(loop->word, i);
	struct conn *c = loop->c;
	struct conn_request *r = request_find(c, id);
	struct ending end = ending_of(c, r);
	__u32 flags = end.request.flags;
	__u32 outcome = OUTCOME_ABORTED, status = 0;

	if (r)
		websocket_leave(r);
	if (c->flags & CONN_IGNORED) {
		outcome = OUTCOME_UNKNOWN;
	} else if ((c->flags & (CONN_LOST | CONN_ANSWERED)) == CONN_LOST) {
		/* on an adopted connection the client's reset is evidence enough */
		if (!(c->flags & CONN_ADOPTED) || loop->kind != CLOSE_BY_RESET)
			outcome = OUTCOME_UNKNOWN;
	} else if (r && (flags & REQUEST_TUNNEL)) {
		outcome = OUTCOME_ANSWERED;
		status = r->status;
	} else if (r && (flags & REQUEST_ANSWERING)) {
		status = r->status;
		if (loop->kind != CLOSE_BY_RESET && (flags & REQUEST_CLOSE_ENDS))
			outcome = flags & REQUEST_REJECTED ? OUTCOME_REJECTED : OUTCOME_ANSWERED;
		else if (loop->kind == CLOSE_BY_SERVER)
			outcome = OUTCOME_CUT;
	} else if (READ_ONCE(c->rejected)) {
		outcome = OUTCOME_NEVER;
	} else if (loop->kind == CLOSE_BY_SERVER && !(flags & REQUEST_PIPELINED)) {
		outcome = OUTCOME_CUT;
	}
	if (outcome == OUTCOME_REJECTED)
		WRITE_ONCE(c->rejected, 1);
	request_forget(c, id);
	end.outcome = outcome;
	end.status = status;
	count_end(c, &end);
	return 0;
}

/* The connection closed; `kind` is an enum close_kind. The first caller ends everything that was in flight. May run in
 * softirq. */
GLOBAL_FUNC int conn_close(struct conn *c, __u32 kind)
{
	struct close_loop loop = {c, 0, kind};
	struct monitor_target *t;

	if (!c || c->role != ROLE_SERVER)
		return 0;
	loop.word = __sync_fetch_and_or(&c->word, CONN_CLOSED);
	if (loop.word & CONN_CLOSED)
		return 0;
	t = target_at(c->target);
	if (t)
		__sync_fetch_and_sub(&t->connections, 1);
	if (conn_in_flight(loop.word))
		bpf_loop(conn_in_flight(loop.word) & REQUEST_ID_MASK, close_step, &loop, 0);
	return 0;
}

/* ---- resuming a lost stream ---- */

/* More requests than can be in flight on one connection. bpf_loop rejects more than 2^23 iterations. */
#define RESYNC_MOST (1 << 22)

static int resync_step(__u32 i, struct close_loop *loop)
{
	__u32 id = request_oldest(loop->c);

	return id == NO_REQUEST || !request_end(loop->c, id, OUTCOME_UNKNOWN, 0);
}

/* The next bytes start a request, so everything that was in flight before has ended unseen. */
GLOBAL_FUNC int conn_resync(struct conn *c)
{
	struct close_loop loop = {c, 0, CLOSE_NONE};

	if (!c)
		return 0;
	bpf_loop(RESYNC_MOST, resync_step, &loop, 0);
	protocol_state_restart(&c->protocol);
	c->arrived_ns = 0;
	c->flags &= ~(CONN_LOST | CONN_UNMATCHED | CONN_TUNNEL | CONN_ADOPTED | CONN_ANSWERED | CONN_QUIET);
	return 0;
}

/* ---- what was no request ---- */

static int withdraw_step(__u32 i, struct close_loop *loop)
{
	__u32 id = request_oldest(loop->c);

	return id == NO_REQUEST || !request_end(loop->c, id, OUTCOME_NEVER, 0);
}

/* The connection speaks another protocol: what was taken for requests counts as nothing. */
GLOBAL_FUNC int conn_withdraw(struct conn *c)
{
	struct close_loop loop = {c, 0, CLOSE_NONE};

	if (c)
		bpf_loop(RESYNC_MOST, withdraw_step, &loop, 0);
	return 0;
}

#endif
