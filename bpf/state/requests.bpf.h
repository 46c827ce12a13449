/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The requests in flight on a connection, by id: in the ring of its record, or in spilled_requests when a pipeline is
 * deeper than the ring.
 */
#ifndef MONITOR_STATE_REQUESTS_BPF_H
#define MONITOR_STATE_REQUESTS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"

/* Returns the record of a request in flight, or NULL if there was no room for one. */
static __always_inline struct conn_request *request_find(struct conn *c, __u32 id)
{
	struct conn_request *r = &c->ring[id & (MONITOR_RING - 1)];
	struct spill_key key = {c->socket, id, 0};

	if (r->id == id)
		return r;
	return bpf_map_lookup_elem(&spilled_requests, &key);
}

/* These two are functions of their own: in their callers, the key would need stack that Linux 6.1 does not have. */
static __attribute__((noinline)) int request_spill(struct conn *c, const struct conn_request *r)
{
	struct spill_key key = {};

	if (!c || !r)
		return -1;
	key.socket = c->socket;
	key.id = r->id;
	return bpf_map_update_elem(&spilled_requests, &key, r, BPF_ANY);
}

static __attribute__((noinline)) int request_unspill(struct conn *c, __u32 id)
{
	struct spill_key key = {};

	if (!c)
		return 0;
	key.socket = c->socket;
	key.id = id;
	return bpf_map_delete_elem(&spilled_requests, &key);
}

/* Stores a request before the word publishes it. The ring has a free place while fewer than MONITOR_RING requests are
 * in flight. Returns whether there was room. */
static __always_inline bool request_store(struct conn *c, __u64 in_flight, const struct conn_request *r)
{
	if (in_flight < MONITOR_RING) {
		c->ring[r->id & (MONITOR_RING - 1)] = *r;
		return true;
	}
	return request_spill(c, r) == 0;
}

static __always_inline void request_forget(struct conn *c, __u32 id)
{
	if (c->ring[id & (MONITOR_RING - 1)].id != id)
		request_unspill(c, id);
}

/* Returns the id of the oldest request in flight, or NO_REQUEST if the connection is idle or closed: the close counts
 * what was in flight. */
static __always_inline __u32 request_oldest(struct conn *c)
{
	__u64 word = READ_ONCE(c->word);

	return (word & CONN_CLOSED) || !conn_in_flight(word) ? NO_REQUEST : request_id_at(word, 0);
}

#endif
