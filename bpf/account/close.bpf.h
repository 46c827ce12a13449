/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How what is in flight on a connection ends together: when the connection closes, and when a lost stream is picked up
 * again at the next clean start of a request.
 */
#ifndef MONITOR_CLOSE_BPF_H
#define MONITOR_CLOSE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "account/requests.bpf.h"
#include "http1/stream.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"

struct close_loop {
	struct conn *c;
	__u32 first;
	__u32 kind;
};

/* uvicorn's own 400 to HEAD carries a body; a 400 to HEAD without one is the application's. */
static __always_inline bool is_bodiless_400(const struct conn *c, const struct conn_request *r)
{
	return r && r->method == HTTP1_METHOD_HEAD && c->responses.status == 400 && !c->responses.captured;
}

static int close_step(__u32 i, struct close_loop *loop)
{
	__u32 sequence = (loop->first + i) & SEQUENCE_MASK;
	struct conn *c = loop->c;
	struct conn_request *r = request_find(c, sequence);
	__u32 flags = r ? r->flags : REQUEST_PIPELINED;
	__u32 endpoint = request_endpoint(c, r);
	__u64 began_ns = r ? r->began_ns : 0;
	__u32 outcome = OUTCOME_ABORTED, status = 0;

	if (r)
		websocket_leave(r);
	if (c->flags & CONN_IGNORED) {
		outcome = OUTCOME_UNKNOWN;
	} else if ((c->flags & (CONN_LOST | CONN_ANSWERED)) == CONN_LOST) {
		/* of an adopted one the client's reset is evidence enough */
		if (!(c->flags & CONN_ADOPTED) || loop->kind != CLOSE_BY_RESET)
			outcome = OUTCOME_UNKNOWN;
	} else if (flags & REQUEST_TUNNEL) {
		outcome = OUTCOME_ANSWERED;
		status = c->responses.status;
	} else if (flags & REQUEST_ANSWERING) {
		status = c->responses.status;
		if (loop->kind != CLOSE_BY_RESET && (c->responses.mode == HTTP1_UNTIL_CLOSE || is_bodiless_400(c, r)))
			outcome = is_own_400(&c->responses) ? OUTCOME_REJECTED : OUTCOME_ANSWERED;
		else if (loop->kind == CLOSE_BY_SERVER)
			outcome = OUTCOME_CUT;
	} else if (c->flags & CONN_REJECTED) {
		outcome = OUTCOME_NEVER;
	} else if (loop->kind == CLOSE_BY_SERVER && !(flags & REQUEST_PIPELINED)) {
		outcome = OUTCOME_CUT;
	}
	if (outcome == OUTCOME_REJECTED)
		c->flags |= CONN_REJECTED;
	request_forget(c, sequence);
	count_end_call(c, endpoint, outcome, status, began_ns);
	return 0;
}

/* The connection closed. The first caller ends everything that was in flight. May run in softirq. */
GLOBAL_FUNC int conn_close(struct conn *c, __u32 kind)
{
	struct close_loop loop = {c, 0, kind};
	struct monitor_target *t;
	__u64 word;

	if (!c || c->role != ROLE_SERVER)
		return 0;
	word = __sync_fetch_and_or(&c->word, CONN_CLOSED);
	if (word & CONN_CLOSED)
		return 0;
	t = target_at(c->target);
	if (t)
		__sync_fetch_and_sub(&t->connections, 1);
	loop.first = conn_oldest(word);
	if (conn_in_flight(word))
		bpf_loop(conn_in_flight(word) & SEQUENCE_MASK, close_step, &loop, 0);
	return 0;
}

/* ---- picking a lost stream up ---- */

/* More requests than can be in flight on one connection; a bpf_loop of more than 2^23 does nothing at all. */
#define RESYNC_MOST (1 << 22)

static int resync_step(__u32 i, struct close_loop *loop)
{
	return request_end(loop->c, OUTCOME_UNKNOWN, 0) ? 0 : 1;
}

/* The next bytes start a request: everything that was in flight before has ended unseen. */
GLOBAL_FUNC int conn_resync(struct conn *c)
{
	struct close_loop loop = {c, 0, CLOSE_NONE};

	if (!c)
		return 0;
	bpf_loop(RESYNC_MOST, resync_step, &loop, 0);
	c->requests.mode = HTTP1_START;
	c->requests.carried = 0;
	c->responses.mode = HTTP1_START;
	c->responses.carried = 0;
	c->flags &= ~(CONN_LOST | CONN_UNMATCHED | CONN_TUNNEL | CONN_ADOPTED | CONN_ANSWERED);
	return 0;
}

/*
 * Whether 16 bytes look like the start of a request and not like the middle of a body: a method of 3 to 14 upper-case
 * letters and hyphens, a space, and "/", "*" or the "h" of an absolute-form target.
 */
static __always_inline bool is_request_start(__u64 first, __u64 second)
{
	__u64 marks = bytes_equal(first, ' ');
	__u32 length;
	__u8 next;

	if (marks) {
		length = first_byte(marks);
		next = length == 7 ? second : first >> ((length + 1) * 8 & 63);
	} else {
		marks = bytes_equal(second, ' ');
		if (!marks)
			return false;
		length = 8 + first_byte(marks);
		next = second >> ((length - 7) * 8 & 63);
	}
	if (length < 3 || length > 14)
		return false;
	for (__u32 i = 0; i < 14; ++i) {
		__u8 c = i < 8 ? first >> (i * 8) : second >> ((i - 8) * 8);

		if (i < length && (c < 'A' || c > 'Z') && c != '-')
			return false;
	}
	return next == '/' || next == '*' || next == 'h';
}

#endif
