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

/* Takes a place in flight on the endpoint of the connection's key, or on "(other)" if the table has no room. Sets `id`
 * to the slot of the endpoint's counters. Returns the number in flight there, or 0 if that failed. */
static __always_inline __u32 endpoint_take(struct conn *c, __u32 *id)
{
	struct monitor_endpoint *e;
	__u32 active;

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
		active = endpoint_enter(e, c->generation);
		if (active)
			return active;
		c->key_valid = 0;
	}
	*id = special_endpoint(c->listener, SPECIAL_OTHER);
	e = endpoint_at(*id);
	return e ? endpoint_enter(e, e->word >> 32) : 0;
}

/* The request began after the close of its connection, which has counted what was in flight: it is aborted at once. */
static __always_inline void request_enter_closed(struct conn *c, struct ending *end)
{
	end->outcome = OUTCOME_ABORTED;
	request_forget(c, end->request.id);
	count_end(c, end);
}

/* Begins the request in `begun` on its endpoint, which has `endpoint_active` requests in flight with this one. Returns
 * the request's id, or NO_REQUEST if the connection is closed. */
static __always_inline __u32 request_enter(struct conn *c, struct ending *begun, __u32 endpoint_active)
{
	struct conn_request *r = &begun->request;
	struct monitor_endpoint *e = endpoint_at(r->endpoint);
	struct monitor_target *t = target_at(c->target);
	struct monitor_listener *l = listener_at(c->listener);
	struct monitor_worker *w;
	__u64 word, active = 0, listener_active = 0;

	if (!e)
		return NO_REQUEST;
	if (!t || !l) {
		endpoint_leave(e, r->endpoint);
		return NO_REQUEST;
	}
	word = READ_ONCE(c->word);
	r->id = request_id_next(word);
	if (conn_in_flight(word))
		r->flags |= REQUEST_PIPELINED;
	if (l->apart)
		r->flags |= REQUEST_APART;
	if (!request_store(c, conn_in_flight(word), r)) {
		/* Without a record its end counts on "(other)", so its begin has to count there too. */
		endpoint_leave(e, r->endpoint);
		r->endpoint = special_endpoint(c->listener, SPECIAL_OTHER);
		e = endpoint_at(r->endpoint);
		if (!e)
			return NO_REQUEST;
		endpoint_active = endpoint_enter(e, e->word >> 32);
		conn_undercount(c, UNDERCOUNT_PIPELINE);
	}
	if (r->flags & REQUEST_UNPROVEN) {
		__sync_fetch_and_add(&l->unproven, 1);
	} else {
		w = conn_worker(c);
		if (w)
			__sync_fetch_and_add(&w->begun, 1);
		listener_active = __sync_fetch_and_add(&l->active, 1) + 1;
		if (!(r->flags & REQUEST_APART))
			active = __sync_fetch_and_add(&t->active, 1) + 1;
	}
	if (word & CONN_CLOSED) {
		/* The server read it after the close: it begins and is aborted, and was never in flight. */
		request_enter_closed(c, begun);
		return NO_REQUEST;
	}
	raise_peak(&t->peak, active);
	raise_peak(&l->peak, listener_active);
	raise_peak(&e->peak, endpoint_active);
	if (__sync_fetch_and_add(&c->word, CONN_BEGIN) & CONN_CLOSED) {
		request_enter_closed(c, begun);
		return NO_REQUEST;
	}
	return r->id;
}

/* The server has read the head of a request, whose key is in the record. `method` is the protocol's own code for it.
 * Returns the request's id, or NO_REQUEST if it is not in flight: the connection is closed, or its target has left. A
 * function of its own, so that its variables are not on the stack while a path is folded. */
static __attribute__((noinline)) int request_begin(struct conn *c, __u16 method)
{
	struct ending begun = {};
	struct conn_request *r = &begun.request;
	__u32 endpoint_active;

	if (!c)
		return NO_REQUEST;
	endpoint_active = endpoint_take(c, &r->endpoint);
	if (!endpoint_active)
		return NO_REQUEST;
	r->method = method;
	r->began_ns = bpf_ktime_get_ns();
	r->waited_us = c->arrived_ns ? microseconds(c->arrived_ns, r->began_ns) : TIME_UNKNOWN;
	r->first_byte_us = TIME_UNKNOWN;
	c->arrived_ns = 0;
	return request_enter(c, &begun, endpoint_active);
}

/* A request is in flight whose head was read before the attach, if the listener speaks HTTP. */
GLOBAL_FUNC int request_begin_before_attach(struct conn *c)
{
	struct monitor_listener *l;
	struct monitor_endpoint *e;
	struct ending begun = {};
	struct conn_request *r = &begun.request;

	if (!c)
		return 0;
	l = listener_at(c->listener);
	if (!l)
		return 0;
	r->endpoint = l->special[SPECIAL_BEFORE_ATTACH];
	if (!l->http && !l->presumed)
		r->flags = REQUEST_UNPROVEN;
	e = endpoint_at(r->endpoint);
	if (e)
		request_enter(c, &begun, endpoint_enter(e, e->word >> 32));
	return 0;
}

/* The server spoke HTTP on this connection, so its listener is one for HTTP; `proxied` if the connection began with a
 * header of the PROXY protocol, which the server took. */
static __always_inline void listener_proven(struct conn *c, bool proxied)
{
	struct monitor_listener *l = listener_at(c->listener);
	__u32 http = LISTENER_HTTP | (proxied ? LISTENER_PROXIED : 0);

	if (l && (l->http & http) != http)
		l->http |= http;
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

/* The final response begins. */
static __always_inline void request_first_byte(struct conn_request *r)
{
	r->first_byte_us = microseconds(r->began_ns, bpf_ktime_get_ns());
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
	struct ending end = ending_of(c, request_find(c, id));

	end.outcome = outcome;
	end.status = status;
	if (__sync_fetch_and_sub(&c->word, CONN_END) & CONN_CLOSED)
		return false;
	request_forget(c, id);
	count_end(c, &end);
	return true;
}

#endif
