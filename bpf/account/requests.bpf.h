/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The life of a request, as a protocol reports it by the request's id: it begins, the head of its final response is
 * sent, it ends. Only this folder counts requests; iter/commands.bpf.h corrects counters after lost events.
 */
#ifndef MONITOR_REQUESTS_BPF_H
#define MONITOR_REQUESTS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/count.bpf.h"
#include "account/undercount.bpf.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/endpoints.bpf.h"
#include "state/requests.bpf.h"

/* Takes a place in flight on the endpoint of the connection's key, or on "(other)" if the table has no room. Returns
 * the endpoint's counters; sets `id` to their slot and `active` to the number in flight there. */
static __always_inline struct monitor_endpoint *endpoint_take(struct conn *c, __u32 *id, __u32 *active)
{
	struct monitor_endpoint *e;

	/* Tries twice: the slot may have passed to another endpoint since the key was resolved. */
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

/* Begins request `r` on endpoint `e`, whose slot is r->endpoint and which has `endpoint_active` requests in flight with
 * this one. Sets r->id and returns it, or NO_REQUEST if the connection is closed. */
static __always_inline __u32 request_enter(struct conn *c, struct monitor_target *t, struct monitor_endpoint *e,
					   struct conn_request *r, __u32 endpoint_active)
{
	struct monitor_endpoint *other;
	struct monitor_worker *w;
	__u64 word, active;

	word = READ_ONCE(c->word);
	r->id = request_id_next(word);
	r->flags = conn_in_flight(word) ? REQUEST_PIPELINED : 0;
	if (!request_store(c, conn_in_flight(word), r)) {
		/* Without a record its end counts on "(other)", so its begin has to count there too. */
		endpoint_leave(e, r->endpoint);
		r->endpoint = special_endpoint(c->target, SPECIAL_OTHER);
		other = endpoint_at(r->endpoint);
		if (!other)
			return NO_REQUEST;
		e = other;
		endpoint_active = endpoint_enter(e, e->word >> 32);
		undercount(c->target, UNDERCOUNT_PIPELINE);
	}
	w = conn_worker(c);
	if (w)
		__sync_fetch_and_add(&w->begun, 1);
	active = __sync_fetch_and_add(&t->active, 1) + 1;
	if (word & CONN_CLOSED) {
		/* The server read it after the close: it begins and is aborted, and was never in flight. */
		request_forget(c, r->id);
		count_end_call(c, r->endpoint, OUTCOME_ABORTED, 0, r->began_ns);
		return NO_REQUEST;
	}
	raise_peak(&t->peak, active);
	raise_peak(&e->peak, endpoint_active);
	if (__sync_fetch_and_add(&c->word, CONN_BEGIN) & CONN_CLOSED) {
		request_forget(c, r->id);
		count_end_call(c, r->endpoint, OUTCOME_ABORTED, 0, r->began_ns);
		return NO_REQUEST;
	}
	return r->id;
}

/* The server has read the head of a request, whose key is in the record. `method` is the protocol's own code for it.
 * Returns the request's id, or NO_REQUEST if it is not in flight: the connection is closed, or its target has left. */
static __always_inline __u32 request_begin(struct conn *c, __u16 method)
{
	struct monitor_endpoint *e;
	struct monitor_target *t;
	struct conn_request r = {};
	__u32 endpoint_active = 0;

	t = target_at(c->target);
	if (!t)
		return NO_REQUEST;
	e = endpoint_take(c, &r.endpoint, &endpoint_active);
	if (!e)
		return NO_REQUEST;
	r.method = method;
	r.began_ns = bpf_ktime_get_ns();
	return request_enter(c, t, e, &r, endpoint_active);
}

/* A request is in flight whose head was read before the attach. */
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

/* Returns the slot that a request counts in. `r` is NULL if there was no room for its record. */
static __always_inline __u32 request_endpoint(struct conn *c, const struct conn_request *r)
{
	return r ? r->endpoint : special_endpoint(c->target, SPECIAL_OTHER);
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

/* The head of the final response was sent. `flags` are the REQUEST_* that the protocol decides. */
static __always_inline void request_head(struct conn_request *r, __u16 status, __u32 flags)
{
	r->status = status;
	r->flags |= REQUEST_ANSWERING | flags;
}

/* The head of the final response was sent, and it makes the connection a tunnel for a WebSocket or another protocol.
 * The request stays in flight until the connection closes. */
static __always_inline void request_tunnels(struct conn *c, struct conn_request *r, __u16 status, bool websocket)
{
	struct monitor_endpoint *e = endpoint_at(r->endpoint);

	request_head(r, status, REQUEST_TUNNEL);
	if (!websocket || !e)
		return;
	__sync_fetch_and_add(&e->websockets, 1);
	__sync_fetch_and_or(&r->flags, REQUEST_WEBSOCKET);
	/* The close may have passed before the flag was set. */
	if (READ_ONCE(c->word) & CONN_CLOSED)
		websocket_leave(r);
}

/* A request in flight ends; `outcome` is an enum outcome. Returns whether it counted: if not, the close has counted
 * it. */
static __always_inline bool request_end(struct conn *c, __u32 id, __u32 outcome, __u32 status)
{
	struct conn_request *r = request_find(c, id);
	__u32 endpoint = request_endpoint(c, r);
	__u64 began_ns = r ? r->began_ns : 0;

	if (__sync_fetch_and_sub(&c->word, CONN_END) & CONN_CLOSED)
		return false;
	request_forget(c, id);
	count_end(c, endpoint, outcome, status, began_ns);
	return true;
}

#endif
