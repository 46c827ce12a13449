/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The connection state machine: a request begins, ends or is taken back; the connection closes; the stream can't be
 * followed any more. The only place that counts requests. What the words mean is said in docs/metrics.md.
 */
#ifndef MONITOR_ACCOUNT_BPF_H
#define MONITOR_ACCOUNT_BPF_H

#include "endpoints.bpf.h"

/* The two responses that uvicorn writes by itself, without its application. */
#define OWN_400	       "Invalid HTTP request received."
#define OWN_503	       "Service Unavailable"
#define OWN_503_LENGTH 19

static __always_inline void undercount(__u32 target, __u32 cause)
{
	struct monitor_target *t = target_at(target);

	if (t && cause < UNDERCOUNT_CAUSES)
		__sync_fetch_and_add(&t->undercount[cause], 1);
}

/* The stream can't be followed from here on: it is picked up again at the next clean request start. */
static __always_inline void conn_lose(struct conn *c, __u32 cause)
{
	if (c->flags & (CONN_LOST | CONN_IGNORED))
		return;
	c->flags |= CONN_LOST;
	undercount(c->target, cause);
}

/* How a request ended. */
enum outcome {
	OUTCOME_ANSWERED, /* by its response, failed or not as the status says */
	OUTCOME_CUT,	  /* by the server before the response was complete: failed */
	OUTCOME_ABORTED,  /* the client went away, or it was pipelined and never answered */
	OUTCOME_UNKNOWN,  /* the stream was lost meanwhile: completed, and nothing more is known */
	OUTCOME_REJECTED, /* the server's own 400: it never began */
	OUTCOME_NEVER,	  /* pipelined behind one that was rejected: it never began either */
};

/* ---- the requests in flight on a connection ---- */

static __always_inline struct conn_request *request_find(struct conn *c, __u32 sequence)
{
	struct conn_request *r = &c->ring[sequence & (MONITOR_RING - 1)];
	struct spill_key key = {c->socket, sequence, 0};

	if (r->sequence == sequence)
		return r;
	return bpf_map_lookup_elem(&spilled_requests, &key);
}

/* Remembers a request before the word publishes it. A place in the ring is free while fewer than MONITOR_RING are in
 * flight. Returns whether there was room. */
static __always_inline bool request_store(struct conn *c, __u64 in_flight, const struct conn_request *r)
{
	struct spill_key key = {c->socket, r->sequence, 0};

	if (in_flight < MONITOR_RING) {
		c->ring[r->sequence & (MONITOR_RING - 1)] = *r;
		return true;
	}
	return bpf_map_update_elem(&spilled_requests, &key, r, BPF_ANY) == 0;
}

static __always_inline void request_forget(struct conn *c, __u32 sequence)
{
	struct spill_key key = {c->socket, sequence, 0};

	if (c->ring[sequence & (MONITOR_RING - 1)].sequence != sequence)
		bpf_map_delete_elem(&spilled_requests, &key);
}

/* ---- counting ---- */

/* The counters of the connection's process, while it lives. */
static __always_inline struct monitor_worker *conn_worker(struct conn *c)
{
	struct monitor_worker *w = worker_at(c->worker_slot);

	return w && w->pid == c->worker ? w : NULL;
}

/* Counts how a request ended and takes it out of what is in flight. `endpoint` is its slot. */
static __always_inline void count_end(struct conn *c, __u32 endpoint, __u32 outcome, __u32 status)
{
	struct monitor_endpoint *e = endpoint_at(endpoint);
	struct monitor_worker *w;
	struct monitor_target *t;
	__u64 class = status / 100;

	if (!e)
		return;
	t = target_at(c->target);
	if (!t)
		return;
	w = conn_worker(c);
	if (outcome >= OUTCOME_REJECTED) {
		if (w)
			__sync_fetch_and_sub(&w->begun, 1);
		if (outcome == OUTCOME_REJECTED)
			__sync_fetch_and_add(&t->rejected, 1);
	} else {
		if (w)
			__sync_fetch_and_add(&w->ended, 1);
		__sync_fetch_and_add(&e->completed, 1);
		keep_bound(class); /* the verifier knows no bound of a quotient */
		if (class > 5)
			class = 0;
		__sync_fetch_and_add(&e->status[class], 1);
		if (status == 404)
			__sync_fetch_and_add(&e->not_found, 1);
		if (outcome == OUTCOME_ABORTED)
			__sync_fetch_and_add(&e->aborted, 1);
		else if (outcome == OUTCOME_CUT || (outcome == OUTCOME_ANSWERED && status >= 500))
			__sync_fetch_and_add(&e->failed, 1);
	}
	endpoint_leave(e, endpoint);
	__sync_fetch_and_sub(&t->active, 1);
}

/* The same for rare paths: inline in each it would be most of the program. */
PURE_FUNCTION int count_end_call(struct conn *c, __u32 endpoint, __u32 outcome, __u32 status)
{
	if (c)
		count_end(c, endpoint, outcome, status);
	return 0;
}

/* Takes a place in flight on the endpoint of the connection's key, or on "(other)" when there is no room for it.
 * Returns the slot; sets the number in flight there. */
static __always_inline struct monitor_endpoint *endpoint_take(struct conn *c, __u32 *id, __u32 *active)
{
	struct monitor_endpoint *e;

	/* Twice: the slot may have been given to another endpoint since the key was resolved. */
	for (int i = 0; i < 2; ++i) {
		if (!c->key_valid)
			endpoint_resolve(c);
		if (!c->key_valid)
			break;
		*id = c->endpoint;
		e = endpoint_at(*id);
		if (!e)
			break;
		*active = endpoint_enter(e, c->generation);
		if (*active)
			return e;
		c->key_valid = 0;
	}
	*id = special_endpoint(c->target, SPECIAL_OTHER);
	e = endpoint_at(*id);
	if (e)
		*active = endpoint_enter(e, e->word >> 32);
	return e;
}

/* A request head was read whole: its key is in the record. */
static __always_inline void request_begin(struct conn *c)
{
	struct monitor_endpoint *e, *other;
	struct monitor_worker *w;
	struct monitor_target *t;
	struct conn_request r = {};
	__u32 endpoint_active = 0;
	__u64 word, active;

	t = target_at(c->target);
	if (!t)
		return;
	e = endpoint_take(c, &r.endpoint, &endpoint_active);
	if (!e)
		return;
	word = *(volatile __u64 *)&c->word;
	r.sequence = conn_next(word);
	r.method = c->requests.method;
	r.flags = conn_in_flight(word) ? REQUEST_PIPELINED : 0;
	if (!request_store(c, conn_in_flight(word), &r)) {
		/* The end will not find it and takes it for one of "(other)". */
		endpoint_leave(e, r.endpoint);
		r.endpoint = special_endpoint(c->target, SPECIAL_OTHER);
		other = endpoint_at(r.endpoint);
		if (!other)
			return;
		e = other;
		endpoint_active = endpoint_enter(e, e->word >> 32);
		undercount(c->target, UNDERCOUNT_PIPELINE);
	}
	w = conn_worker(c);
	if (w)
		__sync_fetch_and_add(&w->begun, 1);
	active = __sync_fetch_and_add(&t->active, 1) + 1;
	if (word & CONN_CLOSED) {
		/* Read after the close: it begins and is aborted, and was never in flight. */
		request_forget(c, r.sequence);
		count_end_call(c, r.endpoint, OUTCOME_ABORTED, 0);
		return;
	}
	raise_peak(&t->peak, active);
	raise_peak(&e->peak, endpoint_active);
	if (__sync_fetch_and_add(&c->word, CONN_BEGIN) & CONN_CLOSED) {
		request_forget(c, r.sequence);
		count_end_call(c, r.endpoint, OUTCOME_ABORTED, 0);
	}
}

/* The slot that the request `sequence` is counted in. */
static __always_inline __u32 request_endpoint(struct conn *c, const struct conn_request *r)
{
	return r ? r->endpoint : special_endpoint(c->target, SPECIAL_OTHER);
}

/* The oldest request in flight ends. Returns whether it did: not when the close has counted it. */
static __always_inline int request_end(struct conn *c, __u32 outcome, __u32 status)
{
	__u32 sequence, endpoint;
	__u64 word;

	word = *(volatile __u64 *)&c->word;
	if ((word & CONN_CLOSED) || !conn_in_flight(word))
		return 0;
	sequence = conn_oldest(word);
	endpoint = request_endpoint(c, request_find(c, sequence));
	if (__sync_fetch_and_sub(&c->word, CONN_END) & CONN_CLOSED)
		return 0;
	request_forget(c, sequence);
	count_end(c, endpoint, outcome, status);
	return 1;
}

/* ---- responses ---- */

static __always_inline bool is_own_400(const struct http1_stream *s)
{
	return s->status == 400 && (s->flags & HTTP1_F_CLOSE) && http1_captured_is(s, OWN_400, HTTP1_OWN_400_LENGTH);
}

static __always_inline bool is_own_503(const struct http1_stream *s)
{
	return s->status == 503 && (s->flags & HTTP1_F_CLOSE) && http1_captured_is(s, OWN_503, OWN_503_LENGTH);
}

/* The response under way is complete. */
static __always_inline void response_end(struct conn *c)
{
	struct http1_stream *s = &c->responses;
	struct monitor_target *t;

	if (c->flags & CONN_UNMATCHED) {
		c->flags &= ~CONN_UNMATCHED;
		return;
	}
	if (is_own_400(s)) {
		c->flags |= CONN_REJECTED;
		request_end(c, OUTCOME_REJECTED, s->status);
	} else if (request_end(c, OUTCOME_ANSWERED, s->status) && is_own_503(s)) {
		t = target_at(c->target);
		if (t)
			__sync_fetch_and_add(&t->refused, 1);
	}
}

PURE_FUNCTION int response_end_call(struct conn *c)
{
	if (c)
		response_end(c);
	return 0;
}

/* Which protocol the client's bytes are, when they are no HTTP/1.x: by how it began. */
static __always_inline __u32 foreign_protocol(const struct http1_stream *requests)
{
	if (requests->flags & HTTP1_F_HTTP2)
		return UNDERCOUNT_HTTP2;
	if ((requests->flags & HTTP1_F_TLS) || (requests->carried && requests->carry[0] == 0x16))
		return UNDERCOUNT_TLS;
	return UNDERCOUNT_PROTOCOL;
}

/* The head of a response to nothing that we took for a request. */
PURE_FUNCTION int response_unmatched(struct conn *c)
{
	struct monitor_target *t;
	struct http1_stream *s;
	__u32 status;

	if (!c)
		return 0;
	t = target_at(c->target);
	s = &c->responses;
	status = s->status;
	http1_response_body(s, HTTP1_OTHER_METHOD);
	if (status < 200)
		return 0;
	if (s->mode != HTTP1_START)
		c->flags |= CONN_UNMATCHED;
	/* Sent while the connection closed: the close has counted the request that it answers. */
	if (*(volatile __u64 *)&c->word & CONN_CLOSED)
		return 0;
	/* The server's own 400 closes; 408 before a close is to no request. */
	if (status == 400 && (s->flags & HTTP1_F_CLOSE)) {
		if (t)
			__sync_fetch_and_add(&t->rejected, 1);
	} else if (status != 408) {
		conn_lose(c, foreign_protocol(&c->requests));
	}
	return 0;
}

/* A response's head is complete. Returns whether the response is as well. */
static __always_inline bool response_head(struct conn *c)
{
	enum http1_method method = HTTP1_OTHER_METHOD;
	struct conn_request *r;
	__u64 word;

	c->flags |= CONN_SPOKE;
	word = *(volatile __u64 *)&c->word;
	if (!conn_in_flight(word) || (word & CONN_CLOSED)) {
		response_unmatched(c);
		return false;
	}
	r = request_find(c, conn_oldest(word));
	if (r)
		method = r->method;
	switch (http1_response_body(&c->responses, method)) {
	case HTTP1_INTERIM:
		break;
	case HTTP1_NO_BODY:
		return true;
	case HTTP1_TUNNEL:
		c->flags |= CONN_TUNNEL;
		if (r)
			r->flags |= REQUEST_TUNNEL | REQUEST_ANSWERING;
		break;
	case HTTP1_HAS_BODY:
		if (r)
			r->flags |= REQUEST_ANSWERING;
		break;
	}
	return false;
}

/* The server's bytes are no HTTP/1.x: says which protocol it is, by how the client began. */
static __always_inline void response_unreadable(struct conn *c)
{
	if (c->flags & CONN_SPOKE) {
		conn_lose(c, UNDERCOUNT_PROTOCOL);
		return;
	}
	conn_lose(c, foreign_protocol(&c->requests));
	c->flags |= CONN_IGNORED;
}

/* ---- the close ---- */

/* Who ended the connection: told by the transition and sk_err, never by who runs (table in docs/counting.md). */
enum close_kind {
	CLOSE_BY_RESET,	 /* the client's, or after its FIN without an orderly close */
	CLOSE_BY_SERVER, /* first */
	CLOSE_BY_CLIENT, /* its FIN came first, the server closed in order then */
};

struct close_loop {
	struct conn *c;
	__u32 first;
	__u32 kind;
};

/* A 400 to HEAD that could have been the server's own, which has a body all the same, and had none: the application's.
 */
static __always_inline bool is_bodiless_400(const struct conn *c, const struct conn_request *r)
{
	return r && r->method == HTTP1_HEAD_METHOD && c->responses.status == 400 && !c->responses.captured;
}

static int close_step(__u32 i, struct close_loop *loop)
{
	__u32 sequence = (loop->first + i) & SEQUENCE_MASK;
	struct conn *c = loop->c;
	struct conn_request *r = request_find(c, sequence);
	__u32 flags = r ? r->flags : REQUEST_PIPELINED;
	__u32 endpoint = request_endpoint(c, r);
	__u32 outcome = OUTCOME_ABORTED, status = 0;

	if (c->flags & (CONN_LOST | CONN_IGNORED)) {
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
	count_end_call(c, endpoint, outcome, status);
	return 0;
}

/* The connection closed: whoever says it first takes all that was in flight. May run in softirq. */
PURE_FUNCTION int conn_close(struct conn *c, __u32 kind)
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

/* The next bytes are the start of a request: what was in flight before has ended unseen. */
PURE_FUNCTION int conn_resync(struct conn *c)
{
	struct close_loop loop = {c, 0, 0};

	if (!c)
		return 0;
	bpf_loop(RESYNC_MOST, resync_step, &loop, 0);
	c->requests.mode = HTTP1_START;
	c->requests.carried = 0;
	c->responses.mode = HTTP1_START;
	c->responses.carried = 0;
	c->flags &= ~(CONN_LOST | CONN_UNMATCHED | CONN_TUNNEL | CONN_ADOPTED);
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
