/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The iterators over the records of connections, in socket storage and by address.
 */
#ifndef MONITOR_ITER_RECORDS_BPF_H
#define MONITOR_ITER_RECORDS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/close_events.bpf.h"
#include "account/requests.bpf.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"
#include "state/requests.bpf.h"

/* Writes one record for user space. */
static __always_inline void describe_record(struct seq_file *seq, struct conn *c)
{
	struct monitor_live out = {};
	__u64 word = c->word;

	out.address = c->socket;
	out.inode = c->inode;
	out.target = c->target;
	out.role = c->role;
	out.closed = word & CONN_CLOSED;
	out.in_flight = out.closed ? 0 : conn_in_flight(word);
	for (__u32 i = 0; i < MONITOR_RING; ++i) {
		out.endpoint[i] = ~0U;
		if (i < out.in_flight)
			out.endpoint[i] = ending_of(c, request_find(c, request_id_at(word, i))).request.endpoint;
	}
	bpf_seq_write(seq, &out, sizeof(out));
}

/* Iterates over the records of open connections. Closes those whose state event was lost, and deletes those of a target
 * that leaves, or that of one socket: their processes are no longer followed, so only a close can still use these
 * records. */
SEC("iter/bpf_sk_storage_map")
int iterate_connections(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct conn *c;

	if (!sk)
		return 0;
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!c)
		return 0;
	if (iter_request.action == ITER_DISOWN && c->target == iter_request.target &&
	    (!iter_request.socket || iter_request.socket == c->socket)) {
		conn_close(c, CLOSE_BY_RESET);
		describe_record(ctx->meta->seq, c);
		bpf_sk_storage_delete(&connections, sk);
		return 0;
	}
	if (c->role != ROLE_SERVER)
		return 0;
	/* otherwise a running send counts the close */
	if (!c->close_due)
		catch_up_close(c, sk->__sk_common.skc_state);
	if (!(c->word & CONN_CLOSED))
		describe_record(ctx->meta->seq, c);
	return 0;
}

/* Iterates over all records by address. */
SEC("iter/bpf_map_elem")
int iterate_addressed(struct bpf_iter__bpf_map_elem *ctx)
{
	__u64 *key = ctx->key, address;
	struct conn *c;

	if (!key)
		return 0;
	/* look it up again: the verifier allows only constant offsets into the iterator's value */
	address = *key;
	c = bpf_map_lookup_elem(&addressed_connections, &address);
	if (c)
		describe_record(ctx->meta->seq, c);
	return 0;
}

#endif
