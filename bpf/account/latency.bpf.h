/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counts how long a request that has ended waited, and how long it took.
 */
#ifndef MONITOR_ACCOUNT_LATENCY_BPF_H
#define MONITOR_ACCOUNT_LATENCY_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/latency.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"

/* Returns the microseconds from `from` to `to`, both CLOCK_MONOTONIC in nanoseconds. Two CPUs' clocks can differ by
 * some nanoseconds. */
static __always_inline __u32 microseconds(__u64 from, __u64 to)
{
	__u64 us = (__s64)(to - from) > 0 ? (to - from) / 1000 : 0;

	return us < TIME_UNKNOWN ? us : TIME_UNKNOWN - 1;
}

static __always_inline void count_latency(struct monitor_latency *l, __u64 ns)
{
	__u32 bucket;

	__sync_fetch_and_add(&l->sum_ns, ns);
	if (ns <= latency_bounds[0])
		return;
	bucket = latency_bucket(ns);
	barrier_var(bucket);
	if (bucket >= MONITOR_LATENCY_BUCKETS)
		return;
	__sync_fetch_and_add(&l->buckets[bucket], 1);
	raise_peak(&l->max_ns, ns);
}

/* Counts how long a request of the endpoint in this slot waited; see struct conn_request. Each of these three is
 * verified once, and has no room on the stack for a call of its own. */
GLOBAL_FUNC int count_wait(__u32 endpoint, __u32 waited_us)
{
	struct monitor_latencies *l = bpf_map_lookup_elem(&latencies, &endpoint);

	if (!l)
		return 0;
	if (waited_us == TIME_UNKNOWN)
		__sync_fetch_and_add(&l->unknown_waits, 1);
	else
		count_latency(&l->queue_wait, waited_us * 1000ULL);
	return 0;
}

GLOBAL_FUNC int count_first_byte(__u32 endpoint, __u32 first_byte_us)
{
	struct monitor_latencies *l = bpf_map_lookup_elem(&latencies, &endpoint);

	if (!l)
		return 0;
	if (first_byte_us == TIME_UNKNOWN)
		__sync_fetch_and_add(&l->unanswered, 1);
	else
		count_latency(&l->first_byte, first_byte_us * 1000ULL);
	return 0;
}

GLOBAL_FUNC int count_took(__u32 endpoint, __u64 took_ns)
{
	struct monitor_latencies *l = bpf_map_lookup_elem(&latencies, &endpoint);

	if (l)
		count_latency(&l->duration, took_ns);
	return 0;
}

#endif
