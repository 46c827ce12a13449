/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * When the bytes in a socket's receive queue arrived. Each stamp covers the bytes up to a position of the stream. Their
 * writer holds the socket's lock; their reader, in the process that has received, does not. A reader can therefore see
 * a stamp half written, and then takes the arrival of a byte for that of one which came together with it or later.
 */
#ifndef MONITOR_STATE_ARRIVALS_H
#define MONITOR_STATE_ARRIVALS_H

#include "lib/pure.h"

#define ARRIVAL_STAMPS 4

struct arrivals {
	__u64 at_ns[ARRIVAL_STAMPS]; /* CLOCK_MONOTONIC; 0: unused */
	__u32 end[ARRIVAL_STAMPS];   /* position after the last byte that it covers */
	__u32 next;		     /* index of the stamp that is written next, which is the oldest */
	__u32 padding;
};

/* Bytes up to the position `end` arrived now, and the process has read those up to `read`. If every stamp covers bytes
 * that are unread, the newest one covers these too: an arrival may then be stated too early, but never too late. */
PURE_INLINE void arrivals_note(struct arrivals *a, __u32 end, __u32 read, __u64 now_ns)
{
	__u32 at = a->next & (ARRIVAL_STAMPS - 1);

	if (a->at_ns[at] && (__s32)(a->end[at] - read) > 0) {
		at = (at - 1) & (ARRIVAL_STAMPS - 1);
		barrier_var(at);
		WRITE_ONCE(a->end[at & (ARRIVAL_STAMPS - 1)], end);
		return;
	}
	WRITE_ONCE(a->at_ns[at], now_ns);
	WRITE_ONCE(a->end[at], end);
	WRITE_ONCE(a->next, at + 1);
}

/* Returns when the byte at `position` arrived, or 0 if that is unknown. */
PURE_INLINE __u64 arrival_of(const struct arrivals *a, __u32 position)
{
	__u32 first = READ_ONCE(a->next);

	UNROLLED
	for (__u32 i = 0; i < ARRIVAL_STAMPS; ++i) {
		__u32 at = (first + i) & (ARRIVAL_STAMPS - 1);
		__u64 at_ns = READ_ONCE(a->at_ns[at]);

		if (at_ns && (__s32)(READ_ONCE(a->end[at]) - position) > 0)
			return at_ns;
	}
	return 0;
}

#endif
