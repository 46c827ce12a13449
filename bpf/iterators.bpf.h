/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What user space asks for at a look: the sockets that a process holds, and the live records. Iterators run in the
 * context of the reader of their file, only when it reads.
 */
#ifndef MONITOR_ITERATORS_BPF_H
#define MONITOR_ITERATORS_BPF_H

#include "sockets.bpf.h"

/* 1 + the index of the target whose open sockets the socket iterator takes in; 0: it only looks. Written by user space
 * around the one reading at registration. */
__u32 adopting = 0;

/* Takes in a socket that was open before its target was followed. */
static __always_inline void adopt(struct sock *sk, struct tcp_sock *tcp, __u32 target, __u32 pid)
{
	struct monitor_process *process = bpf_map_lookup_elem(&processes, &pid);
	struct conn *c;

	if (!process || process->target != target || sk->__sk_common.skc_state == TCP_CLOSE)
		return;
	c = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (c && c->role == ROLE_UNKNOWN)
		conn_init(c, sk, tcp, process, pid, true);
}

SEC("iter/task_file")
int look_at_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct monitor_socket out = {};
	struct tcp_sock *tcp;
	struct socket *socket;
	struct sock *sk;
	struct conn *c;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	if (!socket)
		return 0;
	sk = socket->sk;
	if (!sk)
		return 0;
	out.family = sk->__sk_common.skc_family;
	if (out.family != AF_INET && out.family != AF_INET6)
		return 0;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return 0;
	out.address = (__u64)sk;
	out.pid = task->tgid;
	out.state = sk->__sk_common.skc_state;
	out.local_port = sk->__sk_common.skc_num;
	if (out.family == AF_INET6)
		__builtin_memcpy(out.local_address, sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8, 16);
	else
		*(__u32 *)out.local_address = sk->__sk_common.skc_rcv_saddr;
	if (out.state == TCP_LISTEN) {
		out.backlog = sk->sk_ack_backlog;
	} else {
		out.unread = tcp->rcv_nxt - tcp->copied_seq;
		/* the client's FIN has a sequence number of its own until it is read */
		if (out.unread && (sk->sk_shutdown & 1))
			out.unread -= 1;
		if (adopting)
			adopt(sk, tcp, adopting - 1, out.pid);
	}
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (c) {
		out.role = c->role;
		out.in_flight = conn_in_flight(c->word);
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}

/* The records of open connections; closes those whose state event was lost. */
SEC("iter/bpf_sk_storage_map")
int look_at_connections(struct bpf_iter__bpf_sk_storage_map *ctx)
{
	struct sock *sk = ctx->sk;
	struct monitor_live out = {};
	struct conn *c;
	__u64 word;

	if (!sk)
		return 0;
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!c || c->role != ROLE_SERVER)
		return 0;
	catch_up_close(c, sk);
	word = c->word;
	if (word & CONN_CLOSED)
		return 0;
	out.target = c->target;
	out.in_flight = conn_in_flight(word);
	for (__u32 i = 0; i < MONITOR_RING; ++i) {
		out.endpoint[i] = ~0U;
		/* the last of a deep pipeline are not in the ring, however few are left */
		if (i < out.in_flight)
			out.endpoint[i] = request_endpoint(c, request_find(c, (conn_oldest(word) + i) & SEQUENCE_MASK));
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	return 0;
}

/* Run by user space when the table of endpoints is nearly full: gives a slot back whose requests never got an answer.
 */
SEC("syscall")
int evict(struct monitor_eviction *ctx)
{
	struct monitor_endpoint *e = endpoint_at(ctx->endpoint);

	if (e && !(ctx->word & 0xffffffff) && e->completed == e->status[0] + e->not_found)
		endpoint_evict(e, ctx->endpoint, ctx->word);
	return 0;
}

/* Run by user space: takes out of the counters what no record stands for any more, a loss of the recursion guard. */
SEC("syscall")
int correct(struct monitor_correction *ctx)
{
	struct monitor_target *t = target_at(ctx->target);
	struct monitor_endpoint *e = endpoint_at(ctx->endpoint);
	__u64 requests = ctx->requests;

	if (!t || !e)
		return 0;
	__sync_fetch_and_sub(&t->connections, ctx->connections);
	if (!requests)
		return 0;
	__sync_fetch_and_add(&e->completed, requests);
	__sync_fetch_and_add(&e->status[0], requests);
	__sync_fetch_and_sub(&e->word, requests);
	__sync_fetch_and_sub(&t->active, requests);
	return 0;
}

#endif
