/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The connection state machine: a request begins, ends or is taken back. The only place that counts requests, with
 * close.bpf.h. What the words mean is said in docs/metrics.md.
 */
#ifndef MONITOR_ACCOUNT_BPF_H
#define MONITOR_ACCOUNT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "http1/parser.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/endpoints.bpf.h"
#include "state/maps.bpf.h"

/* The two responses that uvicorn writes by itself, without its application. */
#define OWN_400	       "Invalid HTTP request received."
#define OWN_503	       "Service Unavailable"
#define OWN_503_LENGTH 19

static __always_inline void undercount(__u32 target, __u32 cause)
{
	struct monitor_target *t = target_at(target);

	if (!t || cause == UNDERCOUNT_NONE)
		return;
	barrier_var(cause); /* else both tests become one subtraction, from which Linux 6.1 learns no bound */
	if (cause < UNDERCOUNT_CAUSES)
		__sync_fetch_and_add(&t->undercount[cause], 1);
}

/* The stream cannot be followed any further. It is picked up again at the next clean start of a request. */
static __always_inline void conn_lose(struct conn *c, __u32 cause)
{
	__u32 lost = c->flags & (CONN_LOST | CONN_IGNORED | CONN_ANSWERED);

	/* what was lost before is not lost again, but for the one response that was followed all the same */
	if (lost == CONN_LOST || (lost & CONN_IGNORED))
		return;
	c->flags = (c->flags | CONN_LOST) & ~CONN_ANSWERED;
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

/* Stores a request before the word publishes it. The ring has a free place while fewer than MONITOR_RING requests are
 * in flight. Returns whether there was room. */
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

/* The bounds of monitor_durations, each but the last. */
#define MS 1000000ULL
static __always_inline __u32 duration_bucket(__u64 ns)
{
	if (ns <= 100 * MS) {
		if (ns <= 25 * MS)
			return ns <= 5 * MS ? 0 : ns <= 10 * MS ? 1 : 2;
		return ns <= 50 * MS ? 3 : ns <= 75 * MS ? 4 : 5;
	}
	if (ns <= 1000 * MS)
		return ns <= 250 * MS ? 6 : ns <= 500 * MS ? 7 : ns <= 750 * MS ? 8 : 9;
	if (ns <= 5000 * MS)
		return ns <= 2500 * MS ? 10 : 11;
	return ns <= 7500 * MS ? 12 : ns <= 10000 * MS ? 13 : 14;
}

static __always_inline void count_duration(struct monitor_endpoint *e, __u32 status, __u64 began_ns)
{
	struct monitor_durations *d = &e->durations[durations_index(e, status ? status : DURATIONS_NO_STATUS)];
	__u64 took = bpf_ktime_get_ns() - began_ns;
	__u32 bucket = duration_bucket(took);

	barrier_var(bucket);
	if (bucket >= MONITOR_DURATION_BUCKETS)
		return;
	__sync_fetch_and_add(&d->sum_ns, took);
	__sync_fetch_and_add(&d->buckets[bucket], 1);
}

/* The counters of the connection's process, while it lives. */
static __always_inline struct monitor_worker *conn_worker(struct conn *c)
{
	struct monitor_worker *w = worker_at(c->worker_slot);

	return w && w->pid == c->worker ? w : NULL;
}

/* Counts how a request ended and takes it out of what is in flight. `endpoint` is its slot, `began_ns` as in its
 * record. */
static __always_inline void count_end(struct conn *c, __u32 endpoint, __u32 outcome, __u32 status, __u64 began_ns)
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
		barrier_var(class); /* the verifier knows no bound of a quotient */
		if (class > 5)
			class = 0;
		__sync_fetch_and_add(&e->status[class], 1);
		if (began_ns)
			count_duration(e, status, began_ns);
		if (status == 404)
			__sync_fetch_and_add(&e->not_found, 1);
		if (outcome == OUTCOME_ABORTED)
			__sync_fetch_and_add(&e->aborted, 1);
		else if (outcome == OUTCOME_CUT || (outcome == OUTCOME_ANSWERED && status >= 500))
			__sync_fetch_and_add(&e->failed, 1);
		/* last: who sees this one in the total sees all that is said of it */
		__sync_fetch_and_add(&e->completed, 1);
	}
	endpoint_leave(e, endpoint);
	__sync_fetch_and_sub(&t->active, 1);
}

/* The same as a global function, for rare paths: inlined into each it would be most of the program. */
GLOBAL_FUNC int count_end_call(struct conn *c, __u32 endpoint, __u32 outcome, __u32 status, __u64 began_ns)
{
	if (c)
		count_end(c, endpoint, outcome, status, began_ns);
	return 0;
}

/* Takes a place in flight on the endpoint of the connection's key, or on "(other)" when there is no room for it.
 * Returns the slot; sets the number in flight there. */
static __always_inline struct monitor_endpoint *endpoint_take(struct conn *c, __u32 *id, __u32 *active)
{
	struct monitor_endpoint *e;

	/* Twice: the slot may have been given to another endpoint since the key was resolved. */
	ROLLED
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

/* A request begins on endpoint `e` in slot r->endpoint, where it is one of `endpoint_active`. */
static __always_inline void request_enter(struct conn *c, struct monitor_target *t, struct monitor_endpoint *e,
					  struct conn_request *r, __u32 endpoint_active)
{
	struct monitor_endpoint *other;
	struct monitor_worker *w;
	__u64 word, active;

	word = READ_ONCE(c->word);
	r->sequence = conn_next(word);
	r->flags = conn_in_flight(word) ? REQUEST_PIPELINED : 0;
	if (!request_store(c, conn_in_flight(word), r)) {
		/* The end will not find it and takes it for one of "(other)". */
		endpoint_leave(e, r->endpoint);
		r->endpoint = special_endpoint(c->target, SPECIAL_OTHER);
		other = endpoint_at(r->endpoint);
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
		request_forget(c, r->sequence);
		count_end_call(c, r->endpoint, OUTCOME_ABORTED, 0, r->began_ns);
		return;
	}
	raise_peak(&t->peak, active);
	raise_peak(&e->peak, endpoint_active);
	if (__sync_fetch_and_add(&c->word, CONN_BEGIN) & CONN_CLOSED) {
		request_forget(c, r->sequence);
		count_end_call(c, r->endpoint, OUTCOME_ABORTED, 0, r->began_ns);
	}
}

/* A request head was read whole: its key is in the record. */
static __always_inline void request_begin(struct conn *c)
{
	struct monitor_endpoint *e;
	struct monitor_target *t;
	struct conn_request r = {};
	__u32 endpoint_active = 0;

	t = target_at(c->target);
	if (!t)
		return;
	e = endpoint_take(c, &r.endpoint, &endpoint_active);
	if (!e)
		return;
	r.method = c->requests.method;
	r.began_ns = bpf_ktime_get_ns();
	request_enter(c, t, e, &r, endpoint_active);
}

/* A request is under way whose head was read before the attach. */
GLOBAL_FUNC int request_begin_before_attach(struct conn *c)
{
	struct monitor_endpoint *e;
	struct monitor_target *t;
	struct conn_request r = {};

	if (!c)
		return 0;
	t = target_at(c->target);
	r.endpoint = special_endpoint(c->target, SPECIAL_BEFORE_ATTACH);
	e = endpoint_at(r.endpoint);
	if (t && e)
		request_enter(c, t, e, &r, endpoint_enter(e, e->word >> 32));
	return 0;
}

/* The slot that the request `sequence` is counted in. */
static __always_inline __u32 request_endpoint(struct conn *c, const struct conn_request *r)
{
	return r ? r->endpoint : special_endpoint(c->target, SPECIAL_OTHER);
}

/* The oldest request in flight ends. Returns whether it did: not when the close has counted it. */
static __always_inline int request_end(struct conn *c, __u32 outcome, __u32 status)
{
	struct conn_request *r;
	__u32 sequence, endpoint;
	__u64 word, began_ns;

	word = READ_ONCE(c->word);
	if ((word & CONN_CLOSED) || !conn_in_flight(word))
		return 0;
	sequence = conn_oldest(word);
	r = request_find(c, sequence);
	endpoint = request_endpoint(c, r);
	began_ns = r ? r->began_ns : 0;
	if (__sync_fetch_and_sub(&c->word, CONN_END) & CONN_CLOSED)
		return 0;
	request_forget(c, sequence);
	count_end(c, endpoint, outcome, status, began_ns);
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

GLOBAL_FUNC int response_end_call(struct conn *c)
{
	if (c)
		response_end(c);
	return 0;
}

/* The protocol of a client whose bytes are not HTTP/1.x, judged by its first bytes. */
static __always_inline __u32 foreign_protocol(const struct http1_stream *requests)
{
	if (requests->flags & HTTP1_F_HTTP2)
		return UNDERCOUNT_HTTP2;
	if ((requests->flags & HTTP1_F_TLS) || (requests->carried && requests->carry[0] == 0x16))
		return UNDERCOUNT_TLS;
	return UNDERCOUNT_PROTOCOL;
}

/* A response head with no matching request. */
GLOBAL_FUNC int response_unmatched(struct conn *c)
{
	struct monitor_target *t;
	struct http1_stream *s;
	__u32 status;

	if (!c)
		return 0;
	t = target_at(c->target);
	s = &c->responses;
	status = s->status;
	http1_response_body(s, HTTP1_METHOD_OTHER);
	if (status < 200)
		return 0;
	if (s->mode != HTTP1_START)
		c->flags |= CONN_UNMATCHED;
	/* Sent while the connection closed: the close has counted the request that it answers. */
	if (READ_ONCE(c->word) & CONN_CLOSED)
		return 0;
	/* The server's own 400 closes; 408 before a close is to no request. */
	if (status == 400 && (s->flags & HTTP1_F_CLOSE)) {
		if (t)
			__sync_fetch_and_add(&t->rejected, 1);
	} else if (status != 408) {
		conn_lose(c, c->flags & CONN_UNSEEN ? UNDERCOUNT_GAP : foreign_protocol(&c->requests));
	}
	return 0;
}

/* Removes a WebSocket from its endpoint's count, once: both its upgrade and the close may call this. */
static __always_inline void websocket_leave(struct conn_request *r)
{
	struct monitor_endpoint *e;

	if (!(__sync_fetch_and_and(&r->flags, ~REQUEST_WEBSOCKET) & REQUEST_WEBSOCKET))
		return;
	e = endpoint_at(r->endpoint);
	if (e)
		__sync_fetch_and_sub(&e->websockets, 1);
}

/* A request is answered by 101, or it is CONNECT's and accepted: in flight until the connection closes. */
static __always_inline void request_tunnels(struct conn *c, struct conn_request *r)
{
	struct monitor_endpoint *e = endpoint_at(r->endpoint);

	r->flags |= REQUEST_TUNNEL | REQUEST_ANSWERING;
	if (c->responses.status != 101 || !e)
		return;
	if (!(c->responses.flags & HTTP1_F_WEBSOCKET)) {
		if (c->responses.flags & HTTP1_F_HTTP2)
			undercount(c->target, UNDERCOUNT_HTTP2);
		return;
	}
	__sync_fetch_and_add(&e->websockets, 1);
	__sync_fetch_and_or(&r->flags, REQUEST_WEBSOCKET);
	/* The close may have passed before the flag was there to be seen. */
	if (READ_ONCE(c->word) & CONN_CLOSED)
		websocket_leave(r);
}

/* A response's head is complete. Returns whether the whole response is. */
static __always_inline bool response_head(struct conn *c)
{
	enum http1_method method = HTTP1_METHOD_OTHER;
	struct conn_request *r;
	__u64 word;

	c->flags |= CONN_SPOKE;
	word = READ_ONCE(c->word);
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
			request_tunnels(c, r);
		break;
	case HTTP1_HAS_BODY:
		if (r)
			r->flags |= REQUEST_ANSWERING;
		break;
	}
	return false;
}

/* The server's bytes are not HTTP/1.x. The client's first bytes decide which protocol the undercount names. */
static __always_inline void response_unreadable(struct conn *c)
{
	if (c->flags & CONN_SPOKE) {
		conn_lose(c, UNDERCOUNT_PROTOCOL);
		return;
	}
	conn_lose(c, foreign_protocol(&c->requests));
	c->flags |= CONN_IGNORED;
}

#endif
