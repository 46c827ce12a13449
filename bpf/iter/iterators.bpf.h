/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The iterators over the sockets that a process holds and over the live records, and the programs that user space runs.
 * An iterator runs in the context of the process that reads its file, and only while it reads.
 */
#ifndef MONITOR_ITERATORS_BPF_H
#define MONITOR_ITERATORS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/requests.bpf.h"
#include "feed/records.bpf.h"
#include "state/conn.bpf.h"
#include "state/endpoints.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

/* Returns the record of a socket, from the socket's storage or by address. */
static __always_inline struct conn *record_of(struct sock *sk, const struct socket_info *f)
{
	if (by_address || !f->tcp)
		return addressed_find(f);
	return bpf_sk_storage_get(&connections, sk, 0, 0);
}

/* Creates a record for a socket that was open before its target was followed, or whose bytes made no event. */
static __always_inline void adopt(struct sock *sk, struct opening *o, __u32 target, __u32 pid)
{
	const struct socket_info *f = &o->socket;
	bool unseen = iter_request.action == ITER_ADOPT_UNSEEN;
	struct conn *c;

	if (!f->stream || f->state == TCP_CLOSE || !opening_by(o, pid, 0) || o->process.target != target)
		return;
	o->maybe_older = !unseen;
	c = record_of(sk, f);
	if (c || (unseen && iter_request.socket != (__u64)sk))
		return;
	if (by_address || !f->tcp)
		c = addressed_make(f);
	else
		c = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	/* a hook may have been first */
	if (!c || c->role != ROLE_UNKNOWN)
		return;
	conn_init(c, o);
	if (unseen && c->role == ROLE_SERVER) {
		c->copied_seq = f->copied_seq;
		conn_lose(c, UNDERCOUNT_GAP);
	}
}

/* Writes the name of a listening Unix socket for user space. */
static __attribute__((noinline)) int describe_name(struct seq_file *seq, struct sock *sk)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	__u64 length = address ? BPF_CORE_READ(address, len) - sizeof(__u16) : 0;
	struct monitor_unix_name out = {};

	if (length <= UNIX_PATH_MAX && !bpf_probe_read_kernel(out.name, length, &address->name[0].sun_path))
		out.length = length;
	bpf_seq_write(seq, &out, sizeof(out));
	return 0;
}

/* Fills in what to report of a socket, depending on its family. Returns false if the socket is irrelevant. */
static __always_inline bool describe_socket(struct monitor_socket *out, struct sock *sk, const struct socket_info *f)
{
	struct tcp_sock *tcp;

	if (f->family == AF_UNIX) {
		if (!f->stream)
			return false;
		out->unread = BPF_CORE_READ(sk, sk_receive_queue.qlen);
		out->backlog = out->unread;
		return true;
	}
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return false;
	out->local_port = f->port;
	if (f->family == AF_INET6)
		__builtin_memcpy(out->local_address, sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8, 16);
	else
		*(__u32 *)out->local_address = sk->__sk_common.skc_rcv_saddr;
	out->backlog = sk->sk_ack_backlog;
	out->unread = tcp->rcv_nxt - tcp->copied_seq;
	/* the client's FIN has a sequence number of its own until it is read */
	if (out->unread && (sk->sk_shutdown & RCV_SHUTDOWN))
		out->unread -= 1;
	return true;
}

SEC("iter/task_file")
int iterate_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct monitor_socket out = {};
	struct opening o = {};
	struct socket_info *f = &o.socket;
	struct socket *socket;
	struct sock *sk;
	struct conn *c;
	__u32 data;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	socket_info_read(f, sk);
	if (!describe_socket(&out, sk, f))
		return 0;
	out.address = (__u64)sk;
	out.inode = f->inode;
	out.pid = task->tgid;
	out.family = f->family;
	out.state = f->state;
	if (out.state == TCP_LISTEN) {
		out.unread = 0;
	} else {
		out.backlog = 0;
		if (iter_request.action == ITER_ADOPT || iter_request.action == ITER_ADOPT_UNSEEN)
			adopt(sk, &o, iter_request.target, out.pid);
	}
	c = record_of(sk, f);
	if (c) {
		if (!f->tcp && c->role == ROLE_SERVER)
			look_for_client(c, sk);
		out.role = c->role;
		out.in_flight = conn_in_flight(c->word);
	} else {
		data = f->copied_seq - socket_info_fin_read(f);
		out.unseen = f->tcp && socket_info_start(f, data) != data;
		out.named = f->named;
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	if (out.family == AF_UNIX && out.state == TCP_LISTEN)
		describe_name(ctx->meta->seq, sk);
	return 0;
}

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
		/* the last requests of a deep pipeline are never in the ring, even when few are left */
		if (i < out.in_flight)
			out.endpoint[i] = request_endpoint(c, request_find(c, (conn_oldest(word) + i) & SEQUENCE_MASK));
	}
	bpf_seq_write(seq, &out, sizeof(out));
}

/* Iterates over the records of open connections. Closes those whose state event was lost, and deletes those of a target
 * that leaves: its processes are no longer followed, so only a close can still use these records. */
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
	if (iter_request.action == ITER_DISOWN && c->target == iter_request.target) {
		conn_close(c, CLOSE_BY_RESET);
		describe_record(ctx->meta->seq, c);
		bpf_sk_storage_delete(&connections, sk);
		return 0;
	}
	if (c->role != ROLE_SERVER)
		return 0;
	/* unless a running send will count the close */
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

/*
 * Programs that user space runs. They are raw tracepoints without an attachment, because programs of type "syscall" can
 * sleep, and sleepable programs cannot use queue maps.
 */

/* Frees endpoint slot `id` when the table is nearly full, if its requests all ended with 404 or without a response.
 * `word` is the slot's word as user space read it. */
SEC("raw_tp")
int BPF_PROG(evict, __u64 id, __u64 word)
{
	struct monitor_endpoint *e = endpoint_at(id);

	if (e && !(word & 0xffffffff) && e->completed == e->status[0] + e->not_found)
		endpoint_evict(id, word);
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
	__u64 left;

	if (!t || !e)
		return 0;
	__sync_fetch_and_sub(&t->connections, gone_connections);
	if (!requests)
		return 0;
	__sync_fetch_and_add(&e->completed, requests);
	__sync_fetch_and_add(&e->status[0], requests);
	left = (__sync_fetch_and_sub(&e->word, requests) - requests) & 0xffffffff;
	if (e->websockets > left)
		e->websockets = left;
	__sync_fetch_and_sub(&t->active, requests);
	return 0;
}

#endif
