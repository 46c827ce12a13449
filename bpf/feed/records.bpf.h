/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Creates, finds and closes the record of a connection. The record is in the socket's local storage if the program is
 * given the socket, otherwise in a hash keyed by the socket's address.
 */
#ifndef MONITOR_FEED_RECORDS_BPF_H
#define MONITOR_FEED_RECORDS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/requests.bpf.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/endpoints.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

/* How a connection closes that goes from state `from` to `to`; see the table in docs/counting.md. */
static __always_inline __u32 close_kind(int from, int to, int error)
{
	if (from == TCP_ESTABLISHED)
		return to == TCP_CLOSE && error ? CLOSE_BY_RESET : CLOSE_BY_SERVER;
	return from == TCP_CLOSE_WAIT && to == TCP_LAST_ACK ? CLOSE_BY_CLIENT : CLOSE_BY_RESET;
}

/* The recursion guard dropped the state event, and the server's own call finds the socket closed. That call consumed
 * the socket's error, so the cause is unknown; assume a reset, because resets arrive in softirq. */
static __always_inline void catch_up_close(struct conn *c, __u8 state)
{
	if (state == TCP_CLOSE && !(READ_ONCE(c->word) & CONN_CLOSED))
		conn_close(c, CLOSE_BY_RESET);
}

/* All bytes of a send are parsed: counts a close that came meanwhile. */
static __always_inline void send_done(struct conn *c, __u32 seq)
{
	/* Store first, then read close_due: close_behind_send stores close_due, then reads write_seq. */
	__sync_lock_test_and_set(&c->write_seq, seq);
	if (READ_ONCE(c->close_due))
		conn_close(c, c->close_due);
}

/*
 * The kernel can handle a reset after it has taken a send's bytes but before the event of that send. The client then
 * has the response, but the record does not show it yet, so the send counts the close. A send is under way if the
 * kernel's write_seq is ahead of ours.
 */
static __always_inline void close_behind_send(struct conn *c, struct sock *sk, __u32 kind)
{
	c->close_due = kind;
	__sync_fetch_and_or(&c->word, 0); /* a full barrier, see send_done */
	if (BPF_CORE_READ((struct tcp_sock *)sk, write_seq) == READ_ONCE(c->write_seq))
		conn_close(c, kind);
}

/* Returns whether the client's end of a Unix socket is closed (net/unix/af_unix.c, unix_release_sock). A shutdown of
 * both directions by the server does not count: the peer still has its struct socket. */
static __always_inline bool client_has_gone(struct sock *sk)
{
	struct sock *peer;

	if (BPF_CORE_READ(sk, sk_shutdown) != SHUTDOWN_MASK)
		return false;
	peer = BPF_CORE_READ((struct unix_sock *)sk, peer);
	return !peer || !BPF_CORE_READ(peer, sk_socket);
}

/* The server's call on a Unix socket failed or moved nothing. */
static __always_inline void catch_up_client(struct conn *c, struct sock *sk)
{
	if (client_has_gone(sk))
		conn_close(c, CLOSE_BY_RESET);
}

/* Nanoseconds within which a call that sent the client its response makes its event, even on the slowest machine. */
#define CLIENT_GONE_AFTER_NS 1000000000ULL

/* The same for an iterator. It can run between the bytes of a response and their event, when the client may already
 * have the response and be gone; so the client must stay gone for a while. */
static __always_inline void look_for_client(struct conn *c, struct sock *sk)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (!client_has_gone(sk))
		c->client_gone_ns = 0;
	else if (!c->client_gone_ns)
		c->client_gone_ns = now;
	else if (now - c->client_gone_ns > CLIENT_GONE_AFTER_NS)
		conn_close(c, CLOSE_BY_RESET);
}

/* What a new record is filled in from. */
struct opening {
	struct socket_info socket;
	struct monitor_process process; /* reads from the socket, or holds it */
	__u32 pid;			/* of the process */
	__u32 passed;			/* bytes of the current receive */
	__u32 maybe_older;		/* the socket may be older than its target's registration */
};

/*
 * Fills in a fresh record, all zero.
 *
 * For a socket that may be older than its target's registration, only the local port or the name distinguishes server
 * from client. socket_info_under_way decides whether a request is under way; adopted.bpf.h does the rest.
 */
GLOBAL_FUNC int conn_init(struct conn *c, const struct opening *o)
{
	struct monitor_target *t;
	__u32 target, port, before;
	bool tcp, older;
	struct sock *sk;

	if (!c || !o)
		return 0;
	sk = o->socket.sk;
	tcp = o->socket.tcp;
	older = o->maybe_older;
	target = o->process.target;
	port = target << 16 | o->socket.port;
	before = o->socket.copied_seq - o->passed;
	t = target_at(target);
	c->socket = (__u64)sk;
	c->inode = o->socket.inode;
	c->target = target;
	c->worker = o->pid;
	c->worker_slot = o->process.worker;
	c->copied_seq = before;
	c->write_seq = o->socket.write_seq;
	c->responses.flags = HTTP1_F_RESPONSE;
	for (int i = 0; i < MONITOR_RING; ++i)
		c->ring[i].sequence = ~0U; /* matches no request: sequences have 24 bits */
	if (tcp ? older && !bpf_map_lookup_elem(&listen_ports, &port) : !o->socket.named) {
		c->role = ROLE_CLIENT;
		return 0;
	}
	if (older)
		c->flags = CONN_LOST | CONN_ADOPTED;
	else if (tcp)
		/* bytes that were read earlier without an event are a gap; a FIN alone is not */
		c->copied_seq = socket_info_start(&o->socket, before - socket_info_fin_read(&o->socket));
	c->role = ROLE_SERVER;
	if (t)
		raise_peak(&t->peak_connections, __sync_fetch_and_add(&t->connections, 1) + 1);
	if (older && tcp) {
		/* Earlier sends found no record to update. */
		__sync_lock_test_and_set(&c->write_seq, BPF_CORE_READ((struct tcp_sock *)sk, write_seq));
		if (!o->passed && socket_info_under_way(&o->socket))
			request_begin_before_attach(c);
	}
	/* The close may have come before the record existed. */
	catch_up_close(c, BPF_CORE_READ(sk, __sk_common.skc_state));
	return 0;
}

/* ---- records by address ---- */

/* Initial value of an entry in addressed_connections, too large for a program's stack. */
static const struct conn blank_connection = {};

static __always_inline struct conn *addressed_find(const struct socket_info *f)
{
	__u64 address = (__u64)f->sk;
	struct conn *c = bpf_map_lookup_elem(&addressed_connections, &address);

	return c && c->inode == f->inode ? c : NULL;
}

/* Creates an all-zero record for a socket that has no record yet. Returns NULL if the map is full. */
static __always_inline struct conn *addressed_make(const struct socket_info *f)
{
	__u64 address = (__u64)f->sk;
	struct conn *c = bpf_map_lookup_elem(&addressed_connections, &address);

	if (c) {
		/* an earlier socket at this address is gone, and no hook saw its close */
		conn_close(c, CLOSE_BY_SERVER);
		__builtin_memcpy(c, &blank_connection, sizeof(*c));
		return c;
	}
	bpf_map_update_elem(&addressed_connections, &address, &blank_connection, BPF_NOEXIST);
	return bpf_map_lookup_elem(&addressed_connections, &address);
}

/* Returns whether a socket that is first seen now may be older than the target's registration. */
static __always_inline bool is_registering(__u32 target)
{
	struct monitor_target_settings *settings = bpf_map_lookup_elem(&target_settings, &target);

	return settings && settings->state == TARGET_REGISTERING;
}

/* Completes `o` for a connection that process `pid` reads from for the first time. Returns whether the process belongs
 * to a target. */
static __always_inline bool opening_by(struct opening *o, __u32 pid, __u32 passed)
{
	struct monitor_process *process = bpf_map_lookup_elem(&processes, &pid);

	if (!process)
		return false;
	o->process = *process;
	o->pid = pid;
	o->passed = passed;
	o->maybe_older = is_registering(process->target);
	return true;
}

/* Returns the record by address for o->socket, and creates it at the first receive by process `pid`. `passed` is the
 * number of bytes in this receive. Returns NULL if the connection belongs to no target or the map is full. */
static __attribute__((noinline)) struct conn *addressed_open(struct opening *o, __u32 pid, __u32 passed)
{
	struct conn *c;

	if (!o->socket.stream)
		return NULL;
	c = addressed_find(&o->socket);
	if (c || !passed || !opening_by(o, pid, passed))
		return c;
	c = addressed_make(&o->socket);
	if (!c)
		undercount(o->process.target, UNDERCOUNT_CONNECTIONS);
	else
		conn_init(c, o);
	return c;
}

#endif
