/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Whose socket it is and which bytes moved: the hooks on sockets (profile "socket", Linux 6.3 and later).
 */
#ifndef MONITOR_SOCKETS_BPF_H
#define MONITOR_SOCKETS_BPF_H

#include "streams.bpf.h"

/* A socket known to be TCP's, as such. (bpf_skc_to_tcp_sock says the same with a call.) */
static __always_inline struct tcp_sock *as_tcp(struct sock *sk)
{
	return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
}

static __always_inline bool is_tcp(struct sock *sk)
{
	return sk->sk_protocol == IPPROTO_TCP && sk->sk_type == SOCK_STREAM &&
	       (sk->__sk_common.skc_family == AF_INET || sk->__sk_common.skc_family == AF_INET6);
}

/* How a connection that left this state closes, see the table in docs/counting.md. */
static __always_inline __u32 close_kind(int from, int to, int error)
{
	if (from == TCP_ESTABLISHED)
		return to == TCP_CLOSE && error ? CLOSE_BY_RESET : CLOSE_BY_SERVER;
	return from == TCP_CLOSE_WAIT && to == TCP_LAST_ACK ? CLOSE_BY_CLIENT : CLOSE_BY_RESET;
}

/* A state event that was lost to the recursion guard: the server's own call finds the socket closed. The error was
 * taken by that call, so what ended it is not known; a reset is what comes in softirq. */
static __always_inline void catch_up_close(struct conn *c, struct sock *sk)
{
	if (sk->__sk_common.skc_state == TCP_CLOSE && !(*(volatile __u64 *)&c->word & CONN_CLOSED))
		conn_close(c, CLOSE_BY_RESET);
}

/*
 * Fills in a fresh record. Of a socket that may be older than its target's registration only the local port tells whose
 * side it is, and what is under way on it is not known: it is taken up at the next clean request start.
 */
static __always_inline void conn_init(struct conn *c, struct sock *sk, struct tcp_sock *tcp,
				      struct monitor_process *process, __u32 pid, bool maybe_older)
{
	__u32 target = process->target;
	__u32 port = target << 16 | sk->__sk_common.skc_num;
	struct monitor_target *t = target_at(target);

	c->socket = (__u64)sk;
	c->target = target;
	c->worker = pid;
	c->worker_slot = process->worker;
	c->copied_seq = tcp->copied_seq;
	c->write_seq = tcp->write_seq;
	c->responses.flags = HTTP1_F_RESPONSE;
	for (int i = 0; i < MONITOR_RING; ++i)
		c->ring[i].sequence = ~0U; /* no request's: sequences have 24 bits */
	if (maybe_older) {
		if (!bpf_map_lookup_elem(&listen_ports, &port)) {
			c->role = ROLE_CLIENT;
			return;
		}
		c->flags = CONN_LOST | CONN_ADOPTED;
	}
	c->role = ROLE_SERVER;
	if (t)
		raise_peak(&t->peak_connections, __sync_fetch_and_add(&t->connections, 1) + 1);
	/* The close may have passed before there was a record to note it in. */
	catch_up_close(c, sk);
}

/* Makes the record of a connection that a process of the target reads from for the first time. */
static __always_inline struct conn *conn_open(struct sock *sk, struct tcp_sock *tcp, __u32 pid)
{
	struct monitor_process *process = bpf_map_lookup_elem(&processes, &pid);
	struct monitor_target_settings *settings;
	struct conn *c;

	if (!process || !is_tcp(sk))
		return NULL;
	settings = bpf_map_lookup_elem(&target_settings, &process->target);
	c = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!c)
		undercount(process->target, UNDERCOUNT_CONNECTIONS);
	else if (settings)
		conn_init(c, sk, tcp, process, pid, settings->state == TARGET_REGISTERING);
	return c;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_received, struct sock *sk, int ret, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u32 pid = task->tgid;
	struct tcp_sock *tcp;
	struct conn *c;
	__u32 seq, gap;

	if (!is_followed(pid) || (flags & MSG_PEEK))
		return 0;
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (ret <= 0) {
		if (c)
			catch_up_close(c, sk);
		return 0;
	}
	tcp = as_tcp(sk);
	seq = tcp->copied_seq;
	if (!c) {
		c = conn_open(sk, tcp, pid);
		if (c)
			c->copied_seq = seq - ret;
	}
	if (!c || c->role != ROLE_SERVER)
		return 0;
	gap = seq - c->copied_seq - ret;
	c->copied_seq = seq;
	/* Having read the client's FIN counts one (net/ipv4/tcp.c, tcp_recvmsg_locked). */
	if (gap == 1 && (sk->sk_shutdown & 1))
		gap = 0;
	if (!(c->flags & (CONN_IGNORED | CONN_TUNNEL)))
		received(c, sk, task, ret, gap, !(flags & MSG_TRUNC));
	return 0;
}

/* A send was looked at to its end: counts the close that came meanwhile. */
static __always_inline void send_done(struct conn *c, __u32 seq)
{
	/* Stores, and only then looks: on_state does so the other way round. */
	__sync_lock_test_and_set(&c->write_seq, seq);
	if (*(volatile __u8 *)&c->close_due)
		conn_close(c, c->close_due - 1);
}

/*
 * A reset may be handled between the moment that a send's bytes are the kernel's and the event of that send: the client
 * has the response, but here it is not answered yet. Then the send counts the close. That it is under way is told by
 * the kernel's write_seq, which is ahead of ours.
 */
static __always_inline void close_behind_send(struct conn *c, struct sock *sk, __u32 kind)
{
	c->close_due = kind + 1;
	__sync_fetch_and_or(&c->word, 0); /* a full barrier, see send_done */
	if (as_tcp(sk)->write_seq == *(volatile __u32 *)&c->write_seq)
		conn_close(c, kind);
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_sent, struct sock *sk, int ret, int flags)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct tcp_sock *tcp;
	struct conn *c;
	__u32 seq, gap;

	if (!is_followed(task->tgid))
		return 0;
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!c || c->role != ROLE_SERVER)
		return 0;
	if (ret <= 0) {
		catch_up_close(c, sk);
		return 0;
	}
	tcp = as_tcp(sk);
	seq = tcp->write_seq;
	gap = seq - c->write_seq - ret;
	if (!(c->flags & (CONN_IGNORED | CONN_TUNNEL | CONN_LOST)))
		sent(c, sk, task, ret, gap);
	send_done(c, seq);
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(on_state, struct sock *sk, int from, int to)
{
	struct monitor_process *process;
	struct conn *c;
	__u32 pid;

	if (to == TCP_SYN_SENT) {
		/* connect() runs in the process: this connection is the application's own */
		pid = bpf_get_current_task_btf()->tgid;
		if (!is_followed(pid))
			return 0;
		process = bpf_map_lookup_elem(&processes, &pid);
		if (!process)
			return 0;
		c = bpf_sk_storage_get(&connections, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
		if (c) {
			c->target = process->target;
			c->role = ROLE_CLIENT;
		}
		return 0;
	}
	if (to != TCP_CLOSE && to != TCP_FIN_WAIT1 && to != TCP_LAST_ACK)
		return 0;
	c = bpf_sk_storage_get(&connections, sk, 0, 0);
	if (!c)
		return 0;
	if (to == TCP_CLOSE && (from == TCP_ESTABLISHED || from == TCP_CLOSE_WAIT))
		close_behind_send(c, sk, close_kind(from, to, sk->sk_err));
	else
		conn_close(c, close_kind(from, to, sk->sk_err));
	return 0;
}

#endif
