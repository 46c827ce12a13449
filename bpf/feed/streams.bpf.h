/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What happens with the bytes of one receive or send: a byte source finds them, a protocol reads them and reports
 * requests to account/. This file decides what to do when bytes are missing, and about streams that were lost.
 *
 * The protocol is HTTP/1.x: http1_begins_request, http1_read_requests and http1_pass_requests, and the same for
 * responses with http1_skip_responses. Another protocol is one more set of these six functions, chosen here by what
 * the connection speaks.
 */
#ifndef MONITOR_STREAMS_BPF_H
#define MONITOR_STREAMS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/adopted.bpf.h"
#include "feed/http1_requests.bpf.h"
#include "feed/http1_responses.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/syscall_source.bpf.h"
#include "state/conn.bpf.h"

/* Flags of receives that take nothing out of the stream. */
#define MSG_ASIDE (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)

/*
 * `length` bytes were received, after `gap` bytes without an event. Receives that discard their bytes (MSG_TRUNC) do
 * not fill the buffer.
 */
static __always_inline void received(struct conn *c, const struct byte_source *source, __u32 length, __u32 gap,
				     bool buffer_filled)
{
	struct walk_scratch *x;
	__u32 zero = 0;
	int unknown;

	/* A single byte may be urgent data, which the server's reads skip and which is then no part of the body. */
	if (gap) {
		c->flags &= ~CONN_UNSEEN;
		if (!(c->flags & CONN_LOST) && (gap == 1 || !http1_pass_requests(c, gap)))
			conn_lose(c, UNDERCOUNT_GAP);
	}
	x = bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!x)
		return;
	unknown = source_open(&x->source, source, length, &c->receiving, false);
	if (!buffer_filled)
		unknown = UNDERCOUNT_GAP;
	if (c->flags & CONN_LOST) {
		if (unknown || !http1_begins_request(&x->source, length)) {
			adopted_received(c, unknown);
			return;
		}
		conn_resync(c);
	}
	if (unknown) {
		if (!http1_pass_requests(c, length))
			conn_lose(c, unknown);
		return;
	}
	http1_read_requests(c, x);
	if (x->source.left)
		conn_lose(c, UNDERCOUNT_MEMORY);
}

/* Returns whether the protocol reads what the server sends on a lost connection. */
static __always_inline bool lost_sent(struct conn *c, const struct byte_source *source, __u32 length)
{
	struct message_cursor cursor = c->sending; /* a copy, because reading or skipping the bytes moves c's own */
	struct walk_scratch *x;
	__u32 zero = 0;

	if (!(c->flags & CONN_ADOPTED))
		return false;
	x = bpf_map_lookup_elem(&send_scratch, &zero);
	if (!x)
		return false;
	if (source_open(&x->source, source, length, &cursor, true))
		return adopted_sent(c, NULL);
	return adopted_sent(c, &x->source);
}

/* `length` bytes were sent, after `gap` bytes without an event. */
static __always_inline void sent(struct conn *c, const struct byte_source *source, __u32 length, __u32 gap)
{
	struct walk_scratch *x;
	__u32 zero = 0;
	int unknown;

	if (c->flags & (CONN_IGNORED | CONN_TUNNEL | CONN_LOST)) {
		if (c->flags & (CONN_IGNORED | CONN_TUNNEL) || !lost_sent(c, source, length)) {
			source_skip(c, source, length);
			return;
		}
	}
	/* An adopted connection's write_seq can be ahead of this event if the record was made during this send. */
	if (gap && !((__s32)gap < 0 && (c->flags & CONN_ADOPTED)) && !http1_pass_responses(c, gap)) {
		conn_lose(c, UNDERCOUNT_GAP);
		return;
	}
	if (http1_skip_responses(c, length)) {
		source_skip(c, source, length);
		return;
	}
	x = bpf_map_lookup_elem(&send_scratch, &zero);
	if (!x)
		return;
	unknown = source_open(&x->source, source, length, &c->sending, true);
	if (unknown) {
		if (!http1_pass_responses(c, length))
			conn_lose(c, unknown);
		return;
	}
	http1_read_responses(c, x);
	if (x->source.left)
		conn_lose(c, UNDERCOUNT_MEMORY);
}

/* Returns how many of the client's `moved` bytes made no event; this event has `length`. Reading the client's FIN moves
 * copied_seq by one (net/ipv4/tcp.c, tcp_recvmsg_locked). */
static __always_inline __u32 receive_gap(__u32 moved, __u32 length, __u8 shutdown)
{
	__u32 gap = moved - length;

	return gap == 1 && (shutdown & RCV_SHUTDOWN) ? 0 : gap;
}

/* Notes that the server read bytes of the client that made no event. If it answers them, this explains why the request
 * is unknown. */
static __always_inline void note_unseen(struct conn *c, __u32 copied_seq, __u8 shutdown)
{
	if (receive_gap(copied_seq, c->copied_seq, shutdown))
		c->flags |= CONN_UNSEEN;
}

#endif
