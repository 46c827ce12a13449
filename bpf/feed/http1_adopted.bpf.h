/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Connections that were open before the attach. No hook saw their current request begin, so evidence decides whether
 * one is under way. Such requests count on the endpoint "(before attach)".
 *
 * At the attach a request is under way if the server has read everything that came, and it came after the last send
 * (socket_info_under_way). Any other connection counts as idle until bytes pass that are not a clean start of a
 * request: from the client (the rest of a body or head, a WebSocket frame) or from the server (the next piece of a
 * stream).
 *
 * A response that is seen from its first byte ends like any other. The end of one that began before the attach is
 * visible only if it is chunked and its last chunk ends a write; otherwise it ends, without a status, with the
 * connection's next request or with the connection. Known errors: a request whose answer fell into the same jiffy as
 * its last byte is idle until its next byte; part of a head counts as under way; a HEAD request waits for a body until
 * the next request.
 */
#ifndef MONITOR_ADOPTED_BPF_H
#define MONITOR_ADOPTED_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/requests.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "http1/stream.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/requests.bpf.h"

/* A lost connection received bytes that are not a clean start of a request. `unknown` is the reason why they cannot be
 * read, or UNDERCOUNT_NONE. */
GLOBAL_FUNC int adopted_received(struct conn *c, __u32 unknown)
{
	if (!c || !(c->flags & CONN_ADOPTED))
		return 0;
	if (unknown) {
		c->flags &= ~CONN_ADOPTED;
		undercount(c->target, unknown);
	} else if (!conn_in_flight(c->word)) {
		request_begin_before_attach(c);
	}
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
	if (c->flags & CONN_ANSWERED) {
		if (conn_in_flight(c->word))
			return 1;
		c->flags &= ~CONN_ANSWERED;
	}
	if (!conn_in_flight(c->word))
		request_begin_before_attach(c);
	if (!u)
		return 0;
	last.iov_base = u->base;
	last.iov_len = u->base_left;
	if (!u->base_left) {
		/* check the first vector for a response's start, the last for its end */
		if (user_bytes_peek(u, false, &last))
			return 0;
	}
	if (last.iov_len >= 7 && !bpf_probe_read_user(&start, 7, (void *)last.iov_base) &&
	    start == WORD('H', 'T', 'T', 'P', '/', '1', '.', 0)) {
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
