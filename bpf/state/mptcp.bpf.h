/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Multipath TCP sockets (net/mptcp/protocol.h). A server reads from and writes to one socket. Below it the kernel has
 * one or more TCP sockets, the subflows, which no process holds. Events, states and BPF storage are those of the socket
 * that the server holds; this file has what replaces the sequence numbers and times of a TCP socket.
 */
#ifndef MONITOR_STATE_MPTCP_BPF_H
#define MONITOR_STATE_MPTCP_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

/* Members that came later: the first two with Linux 6.5, the others with 6.10. All are there or the functions below use
 * others instead. */
struct mptcp_sock___counting {
	__u64 bytes_sent;
	__u64 bytes_received; /* in order, read by the server or not */
	__u64 bytes_consumed; /* read by the server */
	__u32 last_data_sent; /* jiffies */
	__u32 last_data_recv; /* jiffies */
} __attribute__((preserve_access_index));

/* The queue of bytes to read before Linux 6.14, beside sk_receive_queue. */
struct mptcp_sock___queueing {
	struct sk_buff_head receive_queue;
} __attribute__((preserve_access_index));

static __always_inline bool is_mptcp(struct sock *sk)
{
	return BPF_CORE_READ(sk, sk_protocol) == IPPROTO_MPTCP;
}

/* Returns whether the kernel counts the bytes that were read. Otherwise a gap in what the server reads cannot be seen.
 */
static __always_inline bool mptcp_counts(void)
{
	return bpf_core_field_exists(((struct mptcp_sock___counting *)0)->bytes_consumed) &&
	       bpf_core_field_exists(((struct mptcp_sock___counting *)0)->last_data_recv);
}

/* Returns the low half of the number of bytes that the server has read, or `otherwise` if the kernel does not count
 * them. */
static __always_inline __u32 mptcp_bytes_read(struct sock *sk, __u32 otherwise)
{
	return mptcp_counts() ? BPF_CORE_READ((struct mptcp_sock___counting *)sk, bytes_consumed) : otherwise;
}

/* Returns the low half of the sequence number of the next byte to send. */
static __always_inline __u32 mptcp_write_seq(struct sock *sk)
{
	if (!bpf_core_field_exists(((struct mptcp_sock *)0)->write_seq))
		return 0;
	return BPF_CORE_READ((struct mptcp_sock *)sk, write_seq);
}

/* Returns a TCP socket below this one, or NULL. That of a listener has the accept queue. */
static __always_inline struct sock *mptcp_first(struct sock *sk)
{
	if (!bpf_core_field_exists(((struct mptcp_sock *)0)->first))
		return NULL;
	return BPF_CORE_READ((struct mptcp_sock *)sk, first);
}

/* Returns whether this end of the connection has sent bytes. */
static __always_inline bool mptcp_has_sent(struct sock *sk)
{
	if (mptcp_counts())
		return BPF_CORE_READ((struct mptcp_sock___counting *)sk, bytes_sent) != 0;
	return BPF_CORE_READ((struct tcp_sock *)mptcp_first(sk), bytes_sent) != 0;
}

/* Returns how much the server has not read yet: in bytes, or in buffers if the kernel does not count bytes. */
static __always_inline __u32 mptcp_unread(struct sock *sk)
{
	struct mptcp_sock___queueing *queueing = (struct mptcp_sock___queueing *)sk;
	struct mptcp_sock___counting *counting = (struct mptcp_sock___counting *)sk;
	__u32 unread;

	if (mptcp_counts())
		return BPF_CORE_READ(counting, bytes_received) - BPF_CORE_READ(counting, bytes_consumed);
	unread = BPF_CORE_READ(sk, sk_receive_queue.qlen);
	if (bpf_core_field_exists(queueing->receive_queue))
		unread += BPF_CORE_READ(queueing, receive_queue.qlen);
	return unread;
}

/* Returns whether a request is under way on a connection that was open before: see socket_info_under_way. Older kernels
 * keep the times only for each subflow, so the first one decides. */
static __always_inline bool mptcp_under_way(struct sock *sk)
{
	struct mptcp_sock___counting *counting = (struct mptcp_sock___counting *)sk;
	struct tcp_sock *first;

	if (mptcp_unread(sk))
		return false;
	if (mptcp_counts()) {
		if (!BPF_CORE_READ(counting, bytes_consumed))
			return false;
		return !BPF_CORE_READ(counting, bytes_sent) ||
		       (__s32)(BPF_CORE_READ(counting, last_data_recv) - BPF_CORE_READ(counting, last_data_sent)) > 0;
	}
	first = (struct tcp_sock *)mptcp_first(sk);
	if (!first || !BPF_CORE_READ(first, bytes_received))
		return false;
	return !BPF_CORE_READ(first, bytes_sent) ||
	       (__s32)(BPF_CORE_READ((struct inet_connection_sock *)first, icsk_ack.lrcvtime) -
		       BPF_CORE_READ(first, lsndtime)) > 0;
}

#endif
