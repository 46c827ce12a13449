/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The iterator over the sockets that a process holds. It also makes records for sockets that were open before their
 * target was followed. An iterator runs in the context of the process that reads its file, and only while it reads.
 */
#ifndef MONITOR_ITER_SOCKETS_BPF_H
#define MONITOR_ITER_SOCKETS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close_events.bpf.h"
#include "account/open.bpf.h"
#include "account/undercount.bpf.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"
#include "state/mptcp.bpf.h"
#include "state/records.bpf.h"
#include "state/socket_info.bpf.h"

/* The server would have closed the connection if it were idle. */
static __always_inline void begin_quiet(struct conn *c)
{
	c->flags |= CONN_QUIET;
	request_begin_before_attach(c);
}

/* Creates a record for a socket that was open before its target was followed, or whose bytes made no event. */
static __always_inline void adopt(struct sock *sk, struct opening *o, __u32 target, __u32 pid)
{
	struct monitor_target_settings *settings = bpf_map_lookup_elem(&target_settings, &target);
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
	conn_find_listener(c, o);
	conn_init(c, o);
	if (c->role == ROLE_SERVER && !unseen && f->tcp) {
		if (socket_info_under_way(f))
			request_begin_before_attach(c);
		else if (outlasts_keep_alive(settings, f, 1))
			begin_quiet(c);
	}
	if (c->role == ROLE_SERVER)
		catch_up_close(c, BPF_CORE_READ(sk, __sk_common.skc_state));
	if (unseen && c->role == ROLE_SERVER) {
		c->copied_seq = f->copied_seq;
		conn_lose(c, UNDERCOUNT_GAP);
	}
}

/* The server leaves a connection open that is idle beyond doubt, for twice as long as its settings say: something else
 * sets the time. */
#define IDLE_TIMES 2

/*
 * A connection is quiet. Begins a request on it if it was open before the attach, and has been quiet for long enough.
 * If it is idle, and the server should have closed it long ago, nothing is known from the server's timeout any more,
 * and what was known only from that ends as if it had never begun. An event that races with this would need bytes at
 * this very moment.
 */
static __attribute__((noinline)) int check_quiet(struct conn *c, const struct socket_info *f)
{
	struct monitor_target_settings *settings;
	__u32 target, flags;

	if (!c || !f)
		return 0;
	target = c->target;
	settings = bpf_map_lookup_elem(&target_settings, &target);
	if (!settings || c->role != ROLE_SERVER || (c->word & CONN_CLOSED))
		return 0;
	flags = c->flags &
		(CONN_ADOPTED | CONN_LOST | CONN_IGNORED | CONN_TUNNEL | CONN_UNMATCHED | CONN_UNSEEN | CONN_ELSEWHERE);
	if (flags == (CONN_ADOPTED | CONN_LOST)) {
		if (!conn_in_flight(c->word) && outlasts_keep_alive(settings, f, 1)) {
			begin_quiet(c);
		} else if ((c->flags & CONN_QUIET) && !settings->keep_alive_ms) {
			c->flags &= ~CONN_QUIET;
			conn_withdraw(c);
		}
	} else if (!flags && !conn_in_flight(c->word) && request_id_next(c->word) &&
		   protocol_state_idle(&c->protocol) && outlasts_keep_alive(settings, f, IDLE_TIMES)) {
		settings->keep_alive_ms = 0;
	}
	return 0;
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
	struct sock *first;

	if (f->family == AF_UNIX) {
		if (!f->stream)
			return false;
		out->unread = BPF_CORE_READ(sk, sk_receive_queue.qlen);
		out->backlog = out->unread;
		unix_address_read(sk, out->local_address);
		return true;
	}
	if (!f->tcp)
		return false;
	out->local_port = f->port;
	if (f->family == AF_INET6)
		__builtin_memcpy(out->local_address, sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr8, 16);
	else
		*(__u32 *)out->local_address = sk->__sk_common.skc_rcv_saddr;
	if (f->mptcp) {
		first = mptcp_first(sk);
		out->backlog = f->state == TCP_LISTEN && first ? BPF_CORE_READ(first, sk_ack_backlog) : 0;
		out->unread = mptcp_unread(sk);
		return true;
	}
	out->backlog = sk->sk_ack_backlog;
	tcp = bpf_skc_to_tcp_sock(sk);
	if (!tcp)
		return false;
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
		if (f->port || f->named)
			out.network = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
		out.unread = 0;
	} else {
		out.backlog = 0;
		if (iter_request.action == ITER_ADOPT || iter_request.action == ITER_ADOPT_UNSEEN)
			adopt(sk, &o, iter_request.target, out.pid);
	}
	c = record_of(sk, f);
	if (c) {
		if (!f->tcp && c->role == ROLE_SERVER)
			check_client(c, sk);
		if (f->tcp)
			check_quiet(c, f);
		out.role = c->role;
		out.listener = c->listener;
		out.in_flight = conn_in_flight(c->word);
	} else {
		data = f->copied_seq - socket_info_fin_read(f);
		out.unseen = f->counts && socket_info_start(f, data) != data;
		out.named = f->named;
	}
	bpf_seq_write(ctx->meta->seq, &out, sizeof(out));
	if (out.family == AF_UNIX && out.state == TCP_LISTEN)
		describe_name(ctx->meta->seq, sk);
	return 0;
}

#endif
