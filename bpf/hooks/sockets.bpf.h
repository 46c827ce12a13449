/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hooks on sockets: reads and writes (profile "socket", Linux 6.3 and later), and closes (both profiles).
 */
#ifndef MONITOR_SOCKETS_BPF_H
#define MONITOR_SOCKETS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/close_events.bpf.h"
#include "account/handover.bpf.h"
#include "account/open.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/byte_source.bpf.h"
#include "feed/datagrams.bpf.h"
#include "feed/streams.bpf.h"
#include "feed/syscall_source.bpf.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/descriptors.bpf.h"
#include "state/listeners.bpf.h"
#include "state/maps.bpf.h"
#include "state/mptcp.bpf.h"
#include "state/records.bpf.h"
#include "state/socket_info.bpf.h"

/* Casts a socket that is known to be a TCP socket. (bpf_skc_to_tcp_sock does the same, but costs a call.) */
static __always_inline struct tcp_sock *as_tcp(struct sock *sk)
{
	return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
}

/* Returns the kernel's copied_seq, or `expected` if the kernel does not keep it. */
static __always_inline __u32 current_copied_seq(const struct conn *c, struct sock *sk, __u32 expected)
{
	return c->flags & CONN_MPTCP ? mptcp_bytes_read(sk, expected) : as_tcp(sk)->copied_seq;
}

static __always_inline __u32 current_write_seq(const struct conn *c, struct sock *sk)
{
	return c->flags & CONN_MPTCP ? mptcp_write_seq(sk) : as_tcp(sk)->write_seq;
}

/* Moves what is known of the arrival of a connection's bytes into its new record. */
static __always_inline void take_early_arrivals(struct conn *c, struct sock *sk)
{
	struct arrivals *early = bpf_sk_storage_get(&early_arrivals, sk, 0, 0);

	if (!early)
		return;
	c->arrivals = *early;
	bpf_sk_storage_delete(&early_arrivals, sk);
}

/* Creates the record of a TCP connection from which process `pid` reads for the first time, `passed` bytes. Returns
 * NULL if the connection belongs to no target or there is no room. */
static __attribute__((noinline)) struct conn *conn_open(struct sock *sk, __u32 pid, __u32 passed)
{
	struct opening o = {};
	struct conn *c;

	socket_info_read(&o.socket, sk);
	if (!o.socket.tcp || !opening_by(&o, pid, passed))
		return NULL;
	c = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (c) {
		if (c->role == ROLE_UNKNOWN) {
			take_early_arrivals(c, sk);
			conn_begin(c, &o);
		}
		return c;
	}
	/* there is no room, or the iterator at registration was first */
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!c)
		undercount(o.process.target, UNDERCOUNT_CONNECTIONS);
	return c;
}

/* Process `pid` of no target reads from a connection without a record. Returns whether it belongs to a target now. */
static __always_inline bool reader_joins(struct sock *sk, __u32 pid)
{
	__u64 *shared = sk->sk_bpf_storage ? bpf_sk_storage_get(&shared_since, sk, 0, 0) : NULL;

	if (!shared && (!is_orphaned() || !may_serve_port(sk->__sk_common.skc_num)))
		return false;
	return join_by_reading(sk, pid, shared ? *shared : 0);
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_received, struct sock *sk, int ret, int flags)
{
	struct task_struct *task;
	__u32 seq, gap;
	struct conn *c;

	if (flags & MSG_ASIDE)
		return 0;
	c = conn_of(sk);
	if (!c && ret <= 0)
		return 0;
	task = bpf_get_current_task_btf();
	if (!is_followed(task->tgid)) {
		if (c)
			c->flags |= CONN_ELSEWHERE;
		if (c || !reader_joins(sk, task->tgid))
			return 0;
	}
	if (!c && sk->sk_protocol == IPPROTO_UDP) {
		datagram_received(sk, NULL, task->tgid, ret);
		return 0;
	}
	if (!c)
		c = conn_open(sk, task->tgid, ret);
	if (!c || c->role != ROLE_SERVER)
		return 0;
	c->flags &= ~CONN_ELSEWHERE;
	if (ret <= 0) {
		nothing_passed(c, ret);
		catch_up_close(c, sk->__sk_common.skc_state);
		return 0;
	}
	seq = current_copied_seq(c, sk, c->copied_seq + ret);
	gap = receive_gap(seq - c->copied_seq, ret, sk->sk_shutdown);
	c->copied_seq = seq;
	if (!(c->flags & (CONN_IGNORED | CONN_TUNNEL)))
		received(c, &(struct byte_source){.sk = sk, .task = task}, ret, gap, !(flags & MSG_TRUNC));
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sent, struct sock *sk, int ret, int flags)
{
	struct conn *c = conn_of(sk);
	__u32 seq, gap;

	if (!c || c->role != ROLE_SERVER || (c->flags & CONN_ELSEWHERE))
		return 0;
	if (ret <= 0) {
		nothing_passed(c, ret);
		catch_up_close(c, sk->__sk_common.skc_state);
		return 0;
	}
	seq = current_write_seq(c, sk);
	gap = seq - c->write_seq - ret;
	note_unseen(c, current_copied_seq(c, sk, c->copied_seq), sk->sk_shutdown);
	sent(c, &(struct byte_source){.sk = sk}, ret, gap);
	send_done(c, seq);
	return 0;
}

/* connect() in a target's process: the application is the client of this connection. */
static __always_inline void note_client(struct sock *sk)
{
	__u32 pid = bpf_get_current_task_btf()->tgid;
	struct monitor_process *process;
	struct socket_info f;
	struct conn *c;

	if (!is_followed(pid))
		return;
	process = bpf_map_lookup_elem(&processes, &pid);
	if (!process)
		return;
	socket_info_read(&f, sk);
	if (by_address)
		c = addressed_make(&f);
	else
		c = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c)
		return;
	c->socket = (__u64)sk;
	c->inode = f.inode;
	c->target = process->target;
	c->role = ROLE_CLIENT;
}

/* A process of a target begins to listen. Every listener of a target's root process is the target's own, and while the
 * root has ended, that of each process which may take its place. So is a socket that a process above this one holds,
 * too: a worker begins to listen on what its supervisor has opened. Otherwise another process can serve something else.
 * User space decides again at each sample, but what has begun by then stays apart. */
static __attribute__((noinline)) int note_listener(struct sock *sk)
{
	__u32 pid = bpf_get_current_task_btf()->tgid;
	struct monitor_target_settings *settings;
	struct monitor_listener_key address;
	struct monitor_process *process;
	struct monitor_target *t;
	struct socket_info f;

	if (!is_followed(pid))
		return 0;
	process = bpf_map_lookup_elem(&processes, &pid);
	if (!process)
		return 0;
	settings = bpf_map_lookup_elem(&target_settings, &process->target);
	t = target_at(process->target);
	if (!settings || !t)
		return 0;
	socket_info_read(&f, sk);
	listener_key(&address, process->target, &f);
	listener_make(&address, t->listeners && pid != settings->root &&
				    bpf_map_lookup_elem(&processes, &settings->root) &&
				    !ancestor_holds(sk, settings->root));
	return 0;
}

/* A socket begins to share the address of a target: see the map shared_since. */
static __always_inline void note_shared(struct sock *sk)
{
	__u64 address = (__u64)sk, now = bpf_ktime_get_boot_ns();

	if (!by_address)
		bpf_sk_storage_get(&shared_since, sk, &now, BPF_SK_STORAGE_GET_F_CREATE);
	else if (!bpf_map_update_elem(&shared_listeners, &address, &now, BPF_NOEXIST))
		__sync_fetch_and_add(&shared_count, 1);
}

/* A socket ceases to listen. */
static __always_inline void forget_shared(struct sock *sk)
{
	__u64 address = (__u64)sk;

	if (by_address && READ_ONCE(shared_count) && !bpf_map_delete_elem(&shared_listeners, &address))
		__sync_fetch_and_sub(&shared_count, 1);
}

/* A connection's state changes. Running twice for the same change is harmless; see on_state_too. */
static __always_inline int on_change(struct sock *sk, int from, int to)
{
	struct conn *c;

	if (to == TCP_SYN_SENT) {
		note_client(sk);
		return 0;
	}
	if (to == TCP_LISTEN) {
		note_listener(sk);
		return 0;
	}
	if (from == TCP_LISTEN) {
		forget_shared(sk);
		return 0;
	}
	if (to != TCP_CLOSE && to != TCP_FIN_WAIT1 && to != TCP_LAST_ACK)
		return 0;
	c = closing_record(sk);
	if (!c)
		return 0;
	if (to == TCP_CLOSE && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT))
		close_behind_send(c, sk, close_kind(from, to, was_reset(sk)));
	else
		conn_close(c, close_kind(from, to, was_reset(sk)));
	return 0;
}

/* The current process begins to listen. */
static __always_inline void began_to_listen(struct sock *sk)
{
	__u32 pid = bpf_get_current_task_btf()->tgid;

	if (!is_followed(pid) && join_by_listening(sk, pid) && socket_shares_port(sk))
		note_shared(sk);
	post_listen(pid);
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to)
{
	/* listen() is called in process context, where this copy always runs */
	if (to == TCP_LISTEN)
		began_to_listen(sk);
	return on_change(sk, from, to);
}

/*
 * A second copy of on_state. A change in softirq can interrupt a change in process context, and the kernel's recursion
 * guard (one for each program and CPU) then skips the interrupted program for the inner change. The two copies run one
 * after the other, so one of them is always free and no change is missed.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state_too, struct sock *sk, int from, int to)
{
	return on_change(sk, from, to);
}

#endif
