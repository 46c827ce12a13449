/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Programs that user space runs to change counters and records. They are raw tracepoints without an attachment, because
 * programs of type "syscall" can sleep, and sleepable programs cannot use queue maps.
 */
#ifndef MONITOR_ITER_COMMANDS_BPF_H
#define MONITOR_ITER_COMMANDS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/endpoints.bpf.h"
#include "state/listeners.bpf.h"
#include "state/maps.bpf.h"

/* Frees endpoint slot `id` when the table is nearly full, if its requests all ended with 404 or without a response.
 * `word` is the slot's word as user space read it. */
SEC("raw_tp")
int BPF_PROG(evict, __u64 id, __u64 word)
{
	struct monitor_endpoint *e = endpoint_at(id);

	if (e && !(word & 0xffffffff) && endpoint_answered_404(e))
		endpoint_evict(id, word, false);
	return 0;
}

/* Makes a listener of a target, whose family and port are in the halves of `family_port` and whose address is in two
 * words. Does nothing if it exists or there is no room. */
SEC("raw_tp")
int BPF_PROG(make_listener, __u64 target, __u64 family_port, __u64 address, __u64 address_end)
{
	struct monitor_listener_key key = {};

	key.target = target;
	key.family = family_port >> 16;
	key.port = family_port;
	*(__u64 *)key.address = address;
	*(__u64 *)(key.address + 8) = address_end;
	listener_make(&key, false);
	return 0;
}

/* User space has found out what a listener is for. */
SEC("raw_tp")
int BPF_PROG(judge_listener, __u64 slot, __u64 presumed, __u64 apart)
{
	struct monitor_listener *l = listener_at(slot);

	if (!l)
		return 0;
	l->presumed = presumed;
	l->apart = apart;
	return 0;
}

/* Nanoseconds to keep a record after its socket is gone; every program that used it has finished long before. */
#define SWEEP_AFTER_NS 1000000000ULL

/*
 * No process of the target holds the socket at `address` with `inode` any more. Closes its connection, and deletes its
 * record after SWEEP_AFTER_NS, or at once if `leaving`.
 */
SEC("raw_tp")
int BPF_PROG(sweep, __u64 address, __u64 inode, __u64 leaving)
{
	struct conn *c = bpf_map_lookup_elem(&addressed_connections, &address);
	__u64 now = bpf_ktime_get_boot_ns();

	if (!c || c->inode != inode)
		return 0;
	conn_close(c, CLOSE_BY_SERVER);
	if (leaving || (c->gone_ns && now - c->gone_ns > SWEEP_AFTER_NS))
		bpf_map_delete_elem(&addressed_connections, &address);
	else if (!c->gone_ns)
		c->gone_ns = now;
	return 0;
}

/* An iteration found `open` connections of the target. This can exceed the counted peak, because connections older than
 * the hooks made no event. */
SEC("raw_tp")
int BPF_PROG(note_open, __u64 target, __u64 open)
{
	struct monitor_target *t = target_at(target);

	if (t)
		raise_peak(&t->peak_connections, open);
	return 0;
}

/* Corrects counters after the recursion guard lost events: ends `requests` of the endpoint in slot `id`, and removes
 * `gone_connections`, because no record accounts for them any more. */
SEC("raw_tp")
int BPF_PROG(correct, __u64 target, __u64 id, __u64 requests, __u64 gone_connections)
{
	struct monitor_target *t = target_at(target);
	struct monitor_endpoint *e = endpoint_at(id);
	struct monitor_listener *l;
	__u64 left;

	if (!t || !e)
		return 0;
	__sync_fetch_and_sub(&t->connections, gone_connections);
	if (!requests)
		return 0;
	__sync_fetch_and_add(&e->status[0], requests);
	left = (__sync_fetch_and_sub(&e->word, requests) - requests) & 0xffffffff;
	if (e->websockets > left)
		e->websockets = left;
	l = listener_at(e->listener);
	if (!l)
		return 0;
	if (e->key.method_length == 0 && l->special[SPECIAL_BEFORE_ATTACH] == id && l->unproven) {
		__sync_fetch_and_sub(&l->unproven, l->unproven < requests ? l->unproven : requests);
		return 0;
	}
	__sync_fetch_and_sub(&l->active, requests);
	if (!l->apart)
		__sync_fetch_and_sub(&t->active, requests);
	return 0;
}

#endif
