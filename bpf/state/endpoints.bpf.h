/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of endpoints. It is bounded, because strangers choose the paths that fill it. A new method and path takes a
 * free slot; if no slot is free, it counts on "(other)". If an endpoint only ever got 404, its slot is freed and its
 * counts move to "(not found)".
 *
 * A slot's word is generation << 32 | requests in flight. A begin adds to it first and checks the generation after. An
 * eviction swaps the whole word and expects no request in flight. So one of the two always notices the other.
 */
#ifndef MONITOR_ENDPOINTS_BPF_H
#define MONITOR_ENDPOINTS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"

static __always_inline void endpoint_refer(struct conn *c, const struct monitor_endpoint_ref *ref)
{
	c->endpoint = ref->id;
	c->generation = ref->generation;
	c->key_valid = 1;
}

/* Finds the endpoint of the connection's key. Leaves key_valid 0 if there is none yet. */
static __always_inline void endpoint_find(struct conn *c)
{
	struct monitor_endpoint_ref *known = bpf_map_lookup_elem(&endpoint_index, &c->key);

	c->key_valid = 0;
	if (known)
		endpoint_refer(c, known);
}

/* Finds or creates the endpoint of the connection's key. Leaves key_valid 0 if there is no room. It is not a
 * GLOBAL_FUNC, because Linux 6.1 accepts no map key from the argument of one. */
static __attribute__((noinline)) int endpoint_resolve(struct conn *c)
{
	struct monitor_endpoint_ref *known, made = {};
	struct monitor_endpoint *e;

	if (!c)
		return 0;
	known = bpf_map_lookup_elem(&endpoint_index, &c->key);
	if (!known) {
		if (bpf_map_pop_elem(&free_endpoints, &made.id))
			return 0;
		e = endpoint_at(made.id);
		if (!e)
			return 0;
		made.generation = e->word >> 32;
		__builtin_memcpy(&e->key, &c->key, sizeof(e->key));
		if (bpf_map_update_elem(&endpoint_index, &c->key, &made, BPF_NOEXIST)) {
			/* another CPU was first, or no memory */
			bpf_map_push_elem(&free_endpoints, &made.id, BPF_ANY);
			known = bpf_map_lookup_elem(&endpoint_index, &c->key);
			if (!known)
				return 0;
			made = *known;
		}
	} else {
		made = *known;
	}
	endpoint_refer(c, &made);
	return 0;
}

/* Counts one more request in flight. Returns how many there are now, or 0 if the slot belongs to another endpoint now.
 */
static __always_inline __u32 endpoint_enter(struct monitor_endpoint *e, __u32 generation)
{
	__u64 word = __sync_fetch_and_add(&e->word, 1) + 1;

	if (word >> 32 != generation) {
		__sync_fetch_and_sub(&e->word, 1);
		return 0;
	}
	return (__u32)word;
}

/* Returns the index of the endpoint's durations for this status or code. Takes a free element if no element has it. */
static __always_inline __u32 durations_index(struct monitor_endpoint *e, __u32 code)
{
	__u32 i, seen;

	ROLLED
	for (i = 0; i < MONITOR_STATUSES - 1; ++i) {
		seen = READ_ONCE(e->durations[i].code);
		if (seen == DURATIONS_FREE)
			seen = __sync_val_compare_and_swap(&e->durations[i].code, DURATIONS_FREE, code);
		if (seen == DURATIONS_FREE || seen == code)
			return i;
	}
	e->durations[i].code = DURATIONS_OTHER;
	return i;
}

/* Merges the histograms of `from` into those of `to` and clears them. Its stack must stay small: endpoint_evict ends
 * the deepest chain of calls, and Linux 6.1 has no stack left for more. */
static __always_inline void durations_move(struct monitor_endpoint *from, struct monitor_endpoint *to)
{
	ROLLED
	for (int i = 0; i < MONITOR_STATUSES; ++i) {
		struct monitor_durations *d = &from->durations[i];
		struct monitor_durations *sum;
		__u32 at;

		if (d->code == DURATIONS_FREE)
			return;
		/* The verifier does not track a value in memory. It therefore verifies the loop over the buckets once,
		 * not once for each element. */
		d->merge_into = durations_index(to, d->code);
		at = READ_ONCE(d->merge_into);
		if (at >= MONITOR_STATUSES)
			return;
		sum = &to->durations[at];
		__sync_fetch_and_add(&sum->sum_ns, d->sum_ns);
		d->sum_ns = 0;
		d->code = DURATIONS_FREE;
		UNROLLED
		for (int b = 0; b < MONITOR_DURATION_BUCKETS; ++b) {
			__sync_fetch_and_add(&sum->buckets[b], d->buckets[b]);
			d->buckets[b] = 0;
		}
	}
}

/* Frees the slot of an endpoint that only ever got 404 or no response, unless a request begins on it meanwhile. A new
 * counter of struct monitor_endpoint has to be moved and zeroed here. */
GLOBAL_FUNC int endpoint_evict(__u32 id, __u64 word)
{
	struct monitor_endpoint *e = endpoint_at(id);
	struct monitor_endpoint *to;

	/* special endpoints stay */
	if (!e || !e->key.method_length)
		return 0;
	to = endpoint_at(special_endpoint(e->key.target, SPECIAL_NOT_FOUND));
	if (!to || __sync_val_compare_and_swap(&e->word, word, ((word >> 32) + 1) << 32) != word)
		return 0;
	/* From here on no other CPU changes the slot: a begin that expects the old generation undoes itself. */
	bpf_map_delete_elem(&endpoint_index, &e->key);
	__sync_fetch_and_add(&to->completed, e->completed);
	__sync_fetch_and_add(&to->aborted, e->aborted);
	__sync_fetch_and_add(&to->failed, e->failed);
	__sync_fetch_and_add(&to->status[0], e->status[0]);
	__sync_fetch_and_add(&to->status[4], e->status[4]);
	__sync_fetch_and_add(&to->not_found, e->not_found);
	raise_peak(&to->peak, e->peak);
	durations_move(e, to);
	e->completed = 0;
	e->aborted = 0;
	e->failed = 0;
	e->status[0] = 0;
	e->status[4] = 0;
	e->not_found = 0;
	e->peak = 0;
	bpf_map_push_elem(&free_endpoints, &id, BPF_ANY);
	return 0;
}

/* One request fewer is in flight. If it ended, its end has been counted before this call. */
static __always_inline void endpoint_leave(struct monitor_endpoint *e, __u32 id)
{
	__u64 word = __sync_fetch_and_sub(&e->word, 1) - 1;

	if (!(word & 0xffffffff) && e->completed == e->not_found)
		endpoint_evict(id, word);
}

#endif
