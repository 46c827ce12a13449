/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The buckets of the histograms of times (struct monitor_latency).
 */
#ifndef MONITOR_LIB_LATENCY_H
#define MONITOR_LIB_LATENCY_H

#include "lib/pure.h"

static const __u64 latency_bounds[MONITOR_LATENCY_BOUNDS] = MONITOR_LATENCY_BOUNDS_NS;

/* Returns the index in monitor_latency.buckets of a time in nanoseconds: how many bounds it is longer than. */
PURE_INLINE __u32 latency_bucket(__u64 ns)
{
	__u32 bucket = 0;

	UNROLLED
	for (__u32 step = 128; step; step /= 2) {
		__u32 last = bucket + step - 1;

		if (last < MONITOR_LATENCY_BOUNDS && latency_bounds[last] < ns)
			bucket += step;
	}
	return bucket;
}

#endif
