/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The counters of targets, listeners, endpoints and processes by their index, and what the hooks check and update in
 * them.
 */
#ifndef MONITOR_COUNTERS_BPF_H
#define MONITOR_COUNTERS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/maps.bpf.h"

static __always_inline struct monitor_endpoint *endpoint_at(__u32 id)
{
	return bpf_map_lookup_elem(&endpoint_table, &id);
}

static __always_inline struct monitor_target *target_at(__u32 id)
{
	return bpf_map_lookup_elem(&targets, &id);
}

static __always_inline struct monitor_listener *listener_at(__u32 slot)
{
	return bpf_map_lookup_elem(&listener_table, &slot);
}

static __always_inline struct monitor_worker *worker_at(__u32 slot)
{
	return bpf_map_lookup_elem(&workers, &slot);
}

/* Returns whether a process belongs to a target. */
static __always_inline bool is_followed(__u32 pid)
{
	__u64 word = pid >> 6;

	return word < MONITOR_MAX_PID / 64 && (followed[word] >> (pid & 63) & 1);
}

/* Returns the slot of one of the special endpoints of the listener in `slot`. */
static __always_inline __u32 special_endpoint(__u32 slot, enum monitor_special_endpoint which)
{
	struct monitor_listener *l = listener_at(slot);

	return l ? l->special[which] : 0;
}

static __always_inline void raise_peak(__u64 *peak, __u64 value)
{
	/* Each failure means that another CPU stored a peak meanwhile: compare with that one. */
	ROLLED
	for (int i = 0; i < 16; ++i) {
		__u64 seen = READ_ONCE(*peak);

		if (seen >= value || __sync_val_compare_and_swap(peak, seen, value) == seen)
			return;
	}
}

#endif
