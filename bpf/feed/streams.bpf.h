/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What happens with the bytes of one receive or send: a byte source finds them, a protocol reads them and reports
 * requests to account/. This file decides what to do when bytes are missing, and about streams that were lost.
 *
 * The protocol is HTTP/1.x. Another one is one more set of these functions, and this file chooses by what the
 *connection speaks:
 *
 *	requests	http1_begins_request, http1_read_requests, http1_pass_requests
 *	responses	http1_skip_responses, http1_read_responses, http1_pass_responses
 *	lost streams	adopted_received, adopted_sent
 */
#ifndef MONITOR_STREAMS_BPF_H
#define MONITOR_STREAMS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/http1_adopted.bpf.h"
#include "feed/http1_requests.bpf.h"
#include "feed/http1_responses.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/byte_source.bpf.h"
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

	if (c->flags & CONN_IGNORED)
		return;
	/* A single byte may be urgent data. The server's reads skip it, so it is no part of a body. */
	if (gap) {
		c->flags &= ~CONN_UNSEEN;
		if (!(c->flags & CONN_LOST) && (gap == 1 || !http1_pass_requests(c, gap)))
			conn_lose(c, UNDERCOUNT_GAP);
	}
	x = bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!x)
		return;
	unknown = source_open(x, source, length, &c->receiving, false);
	if (!buffer_filled)
		unknown = UNDERCOUNT_GAP;
	if (c->flags & CONN_LOST) {
		if (unknown || !http1_begins_request(c, &x->bytes, length)) {
			if (!unknown && adopted_speaks_other(c, &x->bytes))
				conn_withdraw(c);
			else
				adopted_received(c, &x->bytes, unknown);
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
	if (x->bytes.left)
		conn_lose(c, UNDERCOUNT_MEMORY);
}

/* The server sends on a lost connection. Returns whether the protocol should read the bytes. */
static __always_inline bool lost_sent(struct conn *c, const struct byte_source *source, __u32 length)
{
	struct message_cursor position = c->sending; /* a copy, because reading or skipping the bytes moves c's own */
	struct walk_scratch *x;
	__u32 zero = 0;

	if (!(c->flags & CONN_ADOPTED))
		return false;
	x = bpf_map_lookup_elem(&send_scratch, &zero);
	if (!x)
		return false;
	if (source_open(x, source, length, &position, true))
		return adopted_sent(c, NULL);
	if (adopted_speaks_other(c, &x->bytes)) {
		conn_withdraw(c);
		return false;
	}
	return adopted_sent(c, &x->bytes);
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
	/* The record of an adopted connection can be made after the kernel took these bytes and before their event. Its
	 * write_seq is then ahead of the event. */
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
	unknown = source_open(x, source, length, &c->sending, true);
	if (unknown) {
		if (!http1_pass_responses(c, length))
			conn_lose(c, unknown);
		return;
	}
	http1_read_responses(c, x);
	if (x->bytes.left)
		conn_lose(c, UNDERCOUNT_MEMORY);
	if (c->flags & CONN_IGNORED)
		response_ignored(c);
}

/* copied_seq moved by `moved`, and this event has `length` bytes. Returns how many bytes made no event. Reading the
 * client's FIN moves copied_seq by one (net/ipv4/tcp.c, tcp_recvmsg_locked). */
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
