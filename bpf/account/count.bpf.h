/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counts the end of a request: its outcome, status and duration. docs/metrics.md defines the words.
 */
#ifndef MONITOR_COUNT_BPF_H
#define MONITOR_COUNT_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/latency.bpf.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/endpoints.bpf.h"

/* How a request ended. The last two count as if the request had never begun. */
enum outcome {
	OUTCOME_ANSWERED, /* by its response; the status decides whether it failed */
	OUTCOME_REFUSED,  /* by the server's own 503: answered, and refused too */
	OUTCOME_CUT,	  /* by the server before the response was complete: failed */
	OUTCOME_ABORTED,  /* the client went away, or it was pipelined and never answered */
	OUTCOME_UNKNOWN,  /* the stream was lost meanwhile: completed, and nothing more is known */
	OUTCOME_REJECTED, /* by the server's own 400 */
	OUTCOME_NEVER,	  /* pipelined after one that was rejected */
};

/* Returns the index in monitor_durations.buckets of a duration in nanoseconds. */
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
	if (ns <= 30000 * MS)
		return ns <= 7500 * MS ? 12 : ns <= 10000 * MS ? 13 : ns <= 15000 * MS ? 14 : 15;
	if (ns <= 120000 * MS)
		return ns <= 60000 * MS ? 16 : 17;
	return ns <= 300000 * MS ? 18 : ns <= 600000 * MS ? 19 : 20;
}

static __always_inline void count_duration(struct monitor_endpoint *e, __u32 status, __u64 took)
{
	struct monitor_durations *d = &e->durations[durations_index(e, status ? status : DURATIONS_NO_STATUS)];
	__u32 bucket = duration_bucket(took);

	barrier_var(bucket);
	if (bucket >= MONITOR_DURATION_BUCKETS)
		return;
	__sync_fetch_and_add(&d->sum_ns, took);
	__sync_fetch_and_add(&d->buckets[bucket], 1);
}

/* Returns the counters of the process that reads the connection, or NULL if it has ended. */
static __always_inline struct monitor_worker *conn_worker(struct conn *c)
{
	struct monitor_worker *w = worker_at(c->worker_slot);

	return w && w->pid == c->worker ? w : NULL;
}

/* The end of a request: what its record says of it, and how it ended. */
struct ending {
	struct conn_request request; /* a copy of its record */
	__u32 outcome;		     /* enum outcome */
	__u32 status;		     /* 0: none */
};

/* Returns what is known of the end of a request from its record, which is NULL if there was no room for one. */
static __always_inline struct ending ending_of(struct conn *c, const struct conn_request *r)
{
	struct ending end = {};

	if (r) {
		end.request = *r;
	} else {
		end.request.endpoint = special_endpoint(c->listener, SPECIAL_OTHER);
		end.request.flags = REQUEST_PIPELINED;
	}
	return end;
}

/* Counts how a request ended and takes it out of what is in flight. A global function is verified once, and not once
 * for each path that leads to it. */
GLOBAL_FUNC int count_end(struct conn *c, const struct ending *end)
{
	__u32 outcome, status;
	struct monitor_listener *l;
	struct monitor_endpoint *e;
	struct monitor_worker *w;
	struct monitor_target *t;
	const struct conn_request *r;
	__u64 class, took;

	if (!c || !end)
		return 0;
	r = &end->request;
	outcome = end->outcome;
	status = end->status;
	class = status / 100;
	e = endpoint_at(r->endpoint);
	t = target_at(c->target);
	l = listener_at(c->listener);
	if (!e || !t || !l)
		return 0;
	w = conn_worker(c);
	if (r->flags & REQUEST_UNPROVEN) {
		/* it counts only if the listener turned out to speak HTTP, and the worker has not counted its begin */
		if (!l->http)
			outcome = OUTCOME_NEVER;
		w = NULL;
	} else if (!l->http && l->foreign && r->endpoint == l->special[SPECIAL_BEFORE_ATTACH]) {
		/* the listener has shown another protocol since it was presumed to speak HTTP */
		outcome = OUTCOME_NEVER;
	}
	if (outcome >= OUTCOME_REJECTED) {
		if (w)
			__sync_fetch_and_sub(&w->begun, 1);
		if (outcome == OUTCOME_REJECTED)
			__sync_fetch_and_add(&l->rejected, 1);
	} else {
		if (w)
			__sync_fetch_and_add(&w->ended, 1);
		if (r->began_ns) {
			took = bpf_ktime_get_ns() - r->began_ns;
			count_duration(e, status, took);
			count_wait(r->endpoint, r->waited_us);
			count_first_byte(r->endpoint, r->first_byte_us);
			count_took(r->endpoint, took);
		}
		if (status == 404)
			__sync_fetch_and_add(&e->not_found, 1);
		if (outcome == OUTCOME_ABORTED)
			__sync_fetch_and_add(&e->aborted, 1);
		else if (outcome == OUTCOME_CUT || (outcome != OUTCOME_UNKNOWN && status >= 500))
			__sync_fetch_and_add(&e->failed, 1);
		if (outcome == OUTCOME_REFUSED)
			__sync_fetch_and_add(&l->refused, 1);
		barrier_var(class); /* the verifier knows no bound of a quotient */
		if (class > 5)
			class = 0;
		/* last: a reader that sees this request in the total sees its other counts too */
		__sync_fetch_and_add(&e->status[class], 1);
	}
	endpoint_leave(e, r->endpoint);
	if (r->flags & REQUEST_UNPROVEN) {
		__sync_fetch_and_sub(&l->unproven, 1);
		return 0;
	}
	__sync_fetch_and_sub(&l->active, 1);
	if (!(r->flags & REQUEST_APART))
		__sync_fetch_and_sub(&t->active, 1);
	return 0;
}

/* The server rejected bytes of a client with its own 400, and they were no request yet. */
static __always_inline void count_rejected(struct conn *c)
{
	struct monitor_listener *l = listener_at(c->listener);

	if (l)
		__sync_fetch_and_add(&l->rejected, 1);
}

#endif
