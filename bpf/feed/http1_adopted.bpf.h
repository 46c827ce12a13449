/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections that were open before the attach. No hook saw their current request begin, so evidence decides whether
 * one is under way. Such requests count on the endpoint "(before attach)", if their listener speaks HTTP.
 *
 * At the attach a request is under way if the server has read everything that came, and it came after the last send
 * (socket_info_under_way). Then, and at each later sample, one is under way if nothing has passed for longer than the
 * server leaves idle connections open (outlasts_keep_alive). Any other connection counts as idle until bytes pass that
 * are not a clean start of a request: from the client (the rest of a body or head, a WebSocket frame) or from the
 * server (the next piece of a stream). A piece that is exactly one WebSocket frame is a WebSocket's. One that begins
 * with records of TLS or frames of HTTP/2 shows that no request of this protocol is on the connection.
 *
 * A response that is seen from its first byte ends like any other. The end of one that began before the attach is
 * visible only if it is chunked and its last chunk ends a write; otherwise it ends, without a status, with the
 * connection's next request or with the connection. Known errors: a request whose answer fell into the same jiffy as
 * its last byte is idle until its next byte; part of a head counts as under way; a HEAD request waits for a body until
 * the next request; while its event loop is blocked, a server closes no idle connections, so they seem to be in a
 * request.
 */
#ifndef MONITOR_ADOPTED_BPF_H
#define MONITOR_ADOPTED_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/requests.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "http1/other_protocol.h"
#include "http1/stream.h"
#include "http1/websocket.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/requests.bpf.h"

/* Returns whether the bytes in `u` are exactly one WebSocket frame. */
static __always_inline bool is_websocket_frame(const struct user_bytes *u, bool masked)
{
	__u8 head[WEBSOCKET_HEADER] = {};

	if (u->left < 2 || u->base_left < u->left || bpf_probe_read_user(head, 2, (void *)u->base))
		return false;
	switch (websocket_length_bytes(head[1])) {
	case 4:
		if (u->left < 4 || bpf_probe_read_user(head, 4, (void *)u->base))
			return false;
		break;
	case 10:
		if (u->left < 10 || bpf_probe_read_user(head, 10, (void *)u->base))
			return false;
		break;
	}
	return websocket_frame_length(head, masked) == u->left;
}

/* Returns the length of the record or frame at offset `at` of the bytes in `u`, which must have it whole, or 0. */
static __always_inline __u32 unit_length(const struct user_bytes *u, __u64 at, bool tls)
{
	__u8 head[UNIT_HEADER] = {};
	__u32 length;

	if (u->left < at + UNIT_HEADER || u->base_left < u->left ||
	    bpf_probe_read_user(head, sizeof(head), (void *)(u->base + at)))
		return 0;
	length = tls ? tls_record_length(head) : http2_frame_length(head);
	return u->left >= at + length ? length : 0;
}

/* Returns whether the bytes in `u` begin with such units: one that is all of them, or two. */
static __always_inline bool begins_with_units(const struct user_bytes *u, bool tls)
{
	__u32 length = unit_length(u, 0, tls);

	return length && (length == u->left || unit_length(u, length, tls));
}

/*
 * `u` has bytes of an adopted connection, of either direction. If they show TLS or HTTP/2, ignores the connection from
 * now on, counts the undercount and returns 1. The caller withdraws what is in flight.
 */
GLOBAL_FUNC int adopted_speaks_other(struct conn *c, struct user_bytes *u)
{
	struct monitor_listener *l;
	bool tls;

	if (!c || !u || (c->flags & (CONN_ADOPTED | CONN_ANSWERED)) != CONN_ADOPTED)
		return 0;
	tls = begins_with_units(u, true);
	if (!tls && !begins_with_units(u, false))
		return 0;
	conn_undercount(c, tls ? UNDERCOUNT_TLS : UNDERCOUNT_HTTP2);
	c->flags = (c->flags & ~CONN_ADOPTED) | CONN_IGNORED;
	l = listener_at(c->listener);
	if (!l)
		return 1;
	/* as a new connection would begin: with a record of TLS's handshake, or with SETTINGS */
	*(__u64 *)l->foreign_bytes = tls ? WORD(0x16, 3, 3, 0, 0, 0, 0, 0) : WORD(0, 0, 0, HTTP2_SETTINGS, 0, 0, 0, 0);
	l->foreign = 1;
	return 1;
}

/* A WebSocket's frame passed on an adopted connection whose request is the oldest in flight: it is a WebSocket, until
 * the connection closes. */
static __always_inline void adopted_tunnels(struct conn *c)
{
	__u32 id = request_oldest(c);
	struct conn_request *r = id == NO_REQUEST ? NULL : request_find(c, id);

	if (!r)
		return;
	request_tunnels(c, r, 101, true);
	c->flags = (c->flags & ~(CONN_LOST | CONN_ADOPTED | CONN_ANSWERED)) | CONN_TUNNEL;
}

/* A lost connection received the bytes in `u`, which are not a clean start of a request. `unknown` is the reason why
 * they cannot be read, or UNDERCOUNT_NONE. */
GLOBAL_FUNC int adopted_received(struct conn *c, struct user_bytes *u, __u32 unknown)
{
	if (!c || !u || !(c->flags & CONN_ADOPTED))
		return 0;
	c->flags &= ~CONN_QUIET;
	if (unknown) {
		c->flags &= ~CONN_ADOPTED;
		conn_undercount(c, unknown);
		return 0;
	}
	if (!conn_in_flight(c->word))
		request_begin_before_attach(c);
	if (is_websocket_frame(u, true))
		adopted_tunnels(c);
	return 0;
}

/* The last chunk, which is the whole of a buffer or its end after "\r\n". */
#define LAST_CHUNK	  WORD('0', '\r', '\n', '\r', '\n', 0, 0, 0)
#define LAST_CHUNK_LENGTH 5

/* Returns whether the `length` bytes at `base` end with the last chunk of a chunked body (RFC 9112 §7.1). */
static __always_inline bool ends_chunked(__u64 base, __u64 length)
{
	__u64 tail = 0, before = 0;

	if ((length != LAST_CHUNK_LENGTH && length < LAST_CHUNK_LENGTH + 2) ||
	    bpf_probe_read_user(&tail, LAST_CHUNK_LENGTH, (void *)(base + length - LAST_CHUNK_LENGTH)) ||
	    tail != LAST_CHUNK)
		return false;
	if (length == LAST_CHUNK_LENGTH)
		return true;
	return !bpf_probe_read_user(&before, 2, (void *)(base + length - LAST_CHUNK_LENGTH - 2)) &&
	       before == WORD('\r', '\n', 0, 0, 0, 0, 0, 0);
}

/*
 * The server sent the bytes in `u` (NULL: they cannot be read) on an adopted connection. Returns whether the current
 * response was seen from its first byte, and the parser should read these bytes.
 */
GLOBAL_FUNC int adopted_sent(struct conn *c, struct user_bytes *u)
{
	struct user_iovec last;
	__u64 start = 0;
	__u32 id;

	if (!c)
		return 0;
	c->flags &= ~CONN_QUIET;
	if (c->flags & CONN_ANSWERED) {
		if (conn_in_flight(c->word))
			return 1;
		c->flags &= ~CONN_ANSWERED;
	}
	if (!conn_in_flight(c->word))
		request_begin_before_attach(c);
	if (!u)
		return 0;
	if (is_websocket_frame(u, false)) {
		adopted_tunnels(c);
		return 0;
	}
	last.iov_base = u->base;
	last.iov_len = u->base_left;
	if (!u->base_left) {
		/* check the first vector for a response's start, the last for its end */
		if (user_bytes_peek(u, false, &last))
			return 0;
	}
	if (last.iov_len >= 7 && !bpf_probe_read_user(&start, 7, (void *)last.iov_base) &&
	    start == WORD('H', 'T', 'T', 'P', '/', '1', '.', 0)) {
		listener_proven(c, false);
		c->flags |= CONN_ANSWERED;
		c->protocol.responses.mode = HTTP1_START;
		c->protocol.responses.carried = 0;
		return 1;
	}
	if (!u->base_left && user_bytes_peek(u, true, &last))
		return 0;
	id = request_oldest(c);
	if (id != NO_REQUEST && ends_chunked(last.iov_base, last.iov_len))
		request_end(c, id, OUTCOME_UNKNOWN, 0);
	return 0;
}

#endif
