/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of endpoints. It is bounded, because strangers choose the paths that fill it. A new method and path takes a
 * free slot. If no slot is free, an endpoint that is rare gives up its slot, and its counts move to "(other)"; if there
 * is no such endpoint, the new one counts on "(other)". If an endpoint only ever got 404, its slot is freed and its
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

/* Finds the endpoint of the connection's key. Leaves key_valid 0 if it does not exist yet. */
static __always_inline void endpoint_find(struct conn *c)
{
	struct monitor_endpoint_ref *known = bpf_map_lookup_elem(&endpoint_index, &c->key);

	c->key_valid = 0;
	if (known)
		endpoint_refer(c, known);
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

/* Moves one counter of an endpoint to another one. */
static __always_inline void counter_move(__u64 *from, __u64 *to)
{
	__sync_fetch_and_add(to, *from);
	*from = 0;
}

#define LATENCY_WORDS (sizeof(struct monitor_latencies) / sizeof(__u64))

/* Merges the times of the endpoint in slot `from` into those of `to` and clears them. As above for its stack. */
static __always_inline void latencies_move(__u32 from, __u32 to)
{
	struct monitor_latencies *l = bpf_map_lookup_elem(&latencies, &from);
	struct monitor_latencies *sum = bpf_map_lookup_elem(&latencies, &to);

	if (!l || !sum)
		return;
	raise_peak(&sum->queue_wait.max_ns, l->queue_wait.max_ns);
	raise_peak(&sum->first_byte.max_ns, l->first_byte.max_ns);
	raise_peak(&sum->duration.max_ns, l->duration.max_ns);
	l->queue_wait.max_ns = 0;
	l->first_byte.max_ns = 0;
	l->duration.max_ns = 0;
	ROLLED
	for (__u32 i = 0; i < LATENCY_WORDS; ++i)
		counter_move((__u64 *)l + i, (__u64 *)sum + i);
}

/* Returns how many requests of the endpoint have ended, in any way. */
static __always_inline __u64 endpoint_completed(const struct monitor_endpoint *e)
{
	__u64 sum = 0;

	UNROLLED
	for (int i = 0; i < 6; ++i)
		sum += READ_ONCE(e->status[i]);
	return sum;
}

/* Whether all responses of the endpoint had the status 404. There may be requests that got none. */
static __always_inline bool endpoint_answered_404(const struct monitor_endpoint *e)
{
	return !e->status[2] && !e->status[3] && !e->status[5] && !e->status[1] && e->status[4] == e->not_found;
}

/* Frees the slot of an endpoint and moves its counts to "(other)" if it is `rare`, else to "(not found)", unless the
 * slot's word is no longer `word`: a request begins on it, or another CPU frees it. Returns whether it did. A new
 * counter of struct monitor_endpoint has to be moved and zeroed here. */
GLOBAL_FUNC int endpoint_evict(__u32 id, __u64 word, bool rare)
{
	struct monitor_endpoint *e = endpoint_at(id);
	struct monitor_endpoint *to;
	__u32 special;

	/* special endpoints stay */
	if (!e || !e->key.method_length)
		return 0;
	special =
	    rare ? special_endpoint(e->listener, SPECIAL_OTHER) : special_endpoint(e->listener, SPECIAL_NOT_FOUND);
	to = endpoint_at(special);
	if (!to || __sync_val_compare_and_swap(&e->word, word, ((word >> 32) + 1) << 32) != word)
		return 0;
	/* From here on no other CPU changes the slot: a begin that expects the old generation undoes itself. */
	bpf_map_delete_elem(&endpoint_index, &e->key);
	counter_move(&e->aborted, &to->aborted);
	counter_move(&e->failed, &to->failed);
	UNROLLED
	for (int i = 0; i < 6; ++i)
		counter_move(&e->status[i], &to->status[i]);
	counter_move(&e->not_found, &to->not_found);
	raise_peak(&to->peak, e->peak);
	durations_move(e, to);
	latencies_move(id, special);
	e->peak = 0;
	e->hand_completed = 0;
	e->hand_ns = 0;
	bpf_map_push_elem(&free_endpoints, &id, BPF_ANY);
	return 1;
}

/* How long an endpoint is kept for each request that it got after its first one, and at most, without another one. */
#define KEEP_EACH_NS 10000000000ULL
#define KEEP_MOST    8640 /* a day */

/* Whether an endpoint may give up its slot: nothing is in flight on it, and it is rare. One that got a single request
 * is. Others have to be quiet for longer, the more requests they got. The search sees an endpoint now and then, and
 * notes when it saw the count change; so the hot path pays nothing. */
static __always_inline bool endpoint_is_rare(struct monitor_endpoint *e, __u64 now)
{
	__u64 completed = endpoint_completed(e), keep = completed - 1;

	if (!completed || (READ_ONCE(e->word) & 0xffffffff))
		return false;
	if (completed == 1)
		return true;
	if (e->hand_completed != completed) {
		e->hand_completed = completed;
		e->hand_ns = now;
		return false;
	}
	if (keep > KEEP_MOST)
		keep = KEEP_MOST;
	return now - e->hand_ns >= keep * KEEP_EACH_NS;
}

/* Slots that one search passes. */
#define SEARCHED_SLOTS 16

/* The table is full: frees the slot of a rare endpoint. Each search goes on where the last one ended, so that a new
 * endpoint has one turn of the whole table to get its second request. Returns whether a slot was freed. */
static __always_inline int endpoint_make_room(void)
{
	__u64 now = bpf_ktime_get_boot_ns();
	struct monitor_endpoint *e;
	int made = 0;
	__u32 id;

	__sync_fetch_and_add(&evictions.begun, 1);
	ROLLED
	for (int i = 0; i < SEARCHED_SLOTS && !made && now >= READ_ONCE(evictions.paused_until_ns); ++i) {
		id = __sync_fetch_and_add(&evictions.hand, 1) % endpoint_slots;
		e = endpoint_at(id);
		if (e && e->key.method_length && endpoint_is_rare(e, now))
			made = endpoint_evict(id, e->word & ~0xffffffffULL, true);
	}
	__sync_fetch_and_add(&evictions.done, 1);
	return made;
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
		if (bpf_map_pop_elem(&free_endpoints, &made.id) &&
		    (!endpoint_make_room() || bpf_map_pop_elem(&free_endpoints, &made.id)))
			return 0;
		e = endpoint_at(made.id);
		if (!e)
			return 0;
		made.generation = e->word >> 32;
		e->listener = c->listener;
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

/* One request fewer is in flight. If it ended, its end has been counted before this call. */
static __always_inline void endpoint_leave(struct monitor_endpoint *e, __u32 id)
{
	__u64 word = __sync_fetch_and_sub(&e->word, 1) - 1;

	if (!(word & 0xffffffff) && !e->status[0] && endpoint_answered_404(e))
		endpoint_evict(id, word, false);
}

#endif
