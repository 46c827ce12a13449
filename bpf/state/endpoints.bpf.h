/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of endpoints: bounded, filled by what strangers ask for. A new method and path takes a free slot; when none
 * is free it is counted under "(other)". When all that an endpoint ever got was 404, its slot is given back and what it
 * counted goes to "(not found)".
 *
 * A slot's word is generation << 32 | requests in flight. Whoever begins adds first and looks at the generation after;
 * whoever takes the slot away swaps the whole word, expecting nothing in flight. So one of the two notices the other.
 */
#ifndef MONITOR_ENDPOINTS_BPF_H
#define MONITOR_ENDPOINTS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"

static __always_inline void raise_peak(__u64 *peak, __u64 value)
{
	/* Each failure means that another CPU stored a peak meanwhile; what it stored is looked at again. */
	ROLLED
	for (int i = 0; i < 16; ++i) {
		__u64 seen = READ_ONCE(*peak);

		if (seen >= value || __sync_val_compare_and_swap(peak, seen, value) == seen)
			return;
	}
}

static __always_inline struct monitor_endpoint *endpoint_at(__u32 id)
{
	return bpf_map_lookup_elem(&endpoint_table, &id);
}

static __always_inline struct monitor_target *target_at(__u32 id)
{
	return bpf_map_lookup_elem(&targets, &id);
}

static __always_inline struct monitor_worker *worker_at(__u32 slot)
{
	return bpf_map_lookup_elem(&workers, &slot);
}

/* Whether a process belongs to a target. */
static __always_inline bool is_followed(__u32 pid)
{
	__u64 word = pid >> 6;

	return word < MONITOR_MAX_PID / 64 && (followed[word] >> (pid & 63) & 1);
}

/* The slot of one of the target's special endpoints. */
static __always_inline __u32 special_endpoint(__u32 target, enum monitor_special_endpoint which)
{
	struct monitor_target_settings *settings = bpf_map_lookup_elem(&target_settings, &target);

	return settings ? settings->special[which] : 0;
}

/* Finds or makes the endpoint of the connection's key. Leaves key_valid 0 when there is no room. Not verified by its
 * own, since Linux 6.1 takes no key of a map out of such a function's argument. */
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
	c->endpoint = made.id;
	c->generation = made.generation;
	c->key_valid = 1;
	return 0;
}

/* Counts one more in flight. Returns how many there are now, 0 when the slot is no longer the endpoint's. */
static __always_inline __u32 endpoint_enter(struct monitor_endpoint *e, __u32 generation)
{
	__u64 word = __sync_fetch_and_add(&e->word, 1) + 1;

	if (word >> 32 != generation) {
		__sync_fetch_and_sub(&e->word, 1);
		return 0;
	}
	return (__u32)word;
}

/* Which of the endpoint's durations are those of the requests with this code. An element is taken by whoever needs it
 * first. */
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

/* Merges the histograms of `from` into those of `to` and clears them. (endpoint_evict
 * lies at the end of the deepest chain of calls: Linux 6.1 has room for no more than it takes.) */
static __always_inline void durations_move(struct monitor_endpoint *from, struct monitor_endpoint *to)
{
	ROLLED
	for (int i = 0; i < MONITOR_STATUSES; ++i) {
		struct monitor_durations *d = &from->durations[i];
		struct monitor_durations *sum;
		__u32 at;

		if (d->code == DURATIONS_FREE)
			return;
		/* Through memory the verifier knows nothing of it, so that it goes over the buckets once and not once
		 * for each element that it might be. */
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

/* Takes the slot away from an endpoint that only ever got 404, or no answer at all, unless a request begins on it
 * meanwhile. */
GLOBAL_FUNC int endpoint_evict(__u32 id, __u64 word)
{
	struct monitor_endpoint *e = endpoint_at(id);
	struct monitor_endpoint *to;

	/* the special ones stay */
	if (!e || !e->key.method_length)
		return 0;
	to = endpoint_at(special_endpoint(e->key.target, SPECIAL_NOT_FOUND));
	if (!to || __sync_val_compare_and_swap(&e->word, word, ((word >> 32) + 1) << 32) != word)
		return 0;
	/* From here on nobody else touches the slot: requests that still mean the old generation undo themselves. */
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

/* One request fewer is in flight. If it ended, its end is counted already. */
static __always_inline void endpoint_leave(struct monitor_endpoint *e, __u32 id)
{
	__u64 word = __sync_fetch_and_sub(&e->word, 1) - 1;

	if (!(word & 0xffffffff) && e->completed == e->not_found)
		endpoint_evict(id, word);
}

#endif
