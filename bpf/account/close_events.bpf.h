/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * When a connection counts as closed, and by which side: the evidence of state changes, of failed calls and of Unix
 * sockets.
 */
#ifndef MONITOR_CLOSE_EVENTS_BPF_H
#define MONITOR_CLOSE_EVENTS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "account/close.bpf.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/mptcp.bpf.h"
#include "state/socket_info.bpf.h"

/* Returns which side closes a connection that goes from state `from` to `to`; see the table in docs/counting.md. */
static __always_inline __u32 close_kind(int from, int to, int error)
{
	if (from == TCP_ESTABLISHED)
		return to == TCP_CLOSE && error ? CLOSE_BY_RESET : CLOSE_BY_SERVER;
	return from == TCP_CLOSE_WAIT && to == TCP_LAST_ACK ? CLOSE_BY_CLIENT : CLOSE_BY_RESET;
}

/* Returns whether a socket that goes to CLOSE was reset. A Multipath TCP socket has no error if the client's TCP
 * connections were reset one by one or timed out; but the server's own close shuts it down for sending first. */
static __always_inline bool was_reset(struct sock *sk)
{
	return sk->sk_err || (sk->sk_protocol == IPPROTO_MPTCP && !(sk->sk_shutdown & SEND_SHUTDOWN));
}

/* The recursion guard dropped the state event, and the server's own call finds the socket closed. That call consumed
 * the socket's error, so the cause is unknown; assume a reset, because resets arrive in softirq. */
static __always_inline void catch_up_close(struct conn *c, __u8 state)
{
	if (state == TCP_CLOSE && !(READ_ONCE(c->word) & CONN_CLOSED))
		conn_close(c, CLOSE_BY_RESET);
}

/* All bytes of a send are parsed. Counts a close that came meanwhile. */
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
	__u32 seq;

	c->close_due = kind;
	__sync_fetch_and_or(&c->word, 0); /* a full barrier, see send_done */
	seq = is_mptcp(sk) ? mptcp_write_seq(sk) : BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
	if (seq == READ_ONCE(c->write_seq))
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

/* The server's call on a Unix socket failed or moved no bytes. Closes the connection if the client has gone. */
static __always_inline void catch_up_client(struct conn *c, struct sock *sk)
{
	if (client_has_gone(sk))
		conn_close(c, CLOSE_BY_RESET);
}

/* Longest time in nanoseconds between the bytes of a response and their event, even on the slowest machine. */
#define CLIENT_GONE_AFTER_NS 1000000000ULL

/* As catch_up_client, but for an iterator. It can run between the bytes of a response and their event, when the client
 * may already have the response and be gone; so the client must stay gone for a while. */
static __always_inline void check_client(struct conn *c, struct sock *sk)
{
	__u64 now = bpf_ktime_get_boot_ns();

	if (!client_has_gone(sk))
		c->client_gone_ns = 0;
	else if (!c->client_gone_ns)
		c->client_gone_ns = now;
	else if (now - c->client_gone_ns > CLIENT_GONE_AFTER_NS)
		conn_close(c, CLOSE_BY_RESET);
}

#endif
