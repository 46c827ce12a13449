/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The header of the PROXY protocol (HAProxy's proxy-protocol.txt), which a load balancer sends as the first bytes of a
 * connection. The parser passes over it. Version 1 is a line of text, version 2 is binary:
 *
 *	PROXY TCP4 192.0.2.1 192.0.2.2 1234 80\r\n	at most 107 bytes; also TCP6 and UNKNOWN
 *	\r\n\r\n\0\r\nQUIT\n VC F LL ADDRESSES		version and command, family, length of the addresses
 *
 * Neither is a request line, so the parser comes here only after http1_request_line has refused the line: connections
 * without such a header pay nothing. Of version 2, http1_step has skipped "\r\n\r\n" as empty lines by then.
 */
#ifndef MONITOR_HTTP1_PROXY_HEADER_H
#define MONITOR_HTTP1_PROXY_HEADER_H

#include "http1/stream.h"

/* Bytes of a header of version 1 at most, without its line end. */
#define PROXY_LINE_LENGTH 105

/* Bytes of the fixed part of version 2 after "\r\n\r\n\0\r\n". */
#define PROXY_FIXED_REST 9

/* Returns whether 16 bytes begin a header of version 1. `first` and `second` are the bytes as load_word reads them.
 * Bytes after the end of the line do not matter. */
PURE_INLINE bool proxy_begins_line(__u64 first, __u64 second)
{
	__u8 next = second >> 40;

	if (first == WORD('P', 'R', 'O', 'X', 'Y', ' ', 'T', 'C'))
		return low_bytes(second, 3) == WORD('P', '4', ' ', 0, 0, 0, 0, 0) ||
		       low_bytes(second, 3) == WORD('P', '6', ' ', 0, 0, 0, 0, 0);
	return first == WORD('P', 'R', 'O', 'X', 'Y', ' ', 'U', 'N') &&
	       low_bytes(second, 5) == WORD('K', 'N', 'O', 'W', 'N', 0, 0, 0) &&
	       (next == ' ' || next == '\r' || next == '\n');
}

/* Returns whether the byte has version 2 and a command that exists: LOCAL or PROXY. Servers reject any other. */
PURE_INLINE bool proxy_takes(__u8 version_and_command)
{
	return version_and_command == 0x20 || version_and_command == 0x21;
}

/* Returns whether 16 bytes begin a header of either version. */
PURE_INLINE bool is_proxy_start(__u64 first, __u64 second)
{
	return proxy_begins_line(first, second) ||
	       (first == WORD('\r', '\n', '\r', '\n', 0, '\r', '\n', 'Q') &&
		low_bytes(second, 4) == WORD('U', 'I', 'T', '\n', 0, 0, 0, 0) && proxy_takes(second >> 32));
}

/* Returns whether the line [pos, line_end) is a header of version 1. */
GLOBAL_FUNC int http1_is_proxy_line(const struct http1_window *w)
{
	return w && w->line_end - w->pos <= PROXY_LINE_LENGTH &&
	       proxy_begins_line(window_word(w, w->pos), window_word(w, w->pos + 8));
}

/* The line [pos, line_end) is no request line. Sets the mode after it: a connection's first line can be a header of
 * version 1, or belong to one of version 2. */
GLOBAL_FUNC int http1_refused_line(struct http1_stream *s, const struct http1_window *w)
{
	if (!s || !w)
		return HTTP1_ERROR;
	s->mode = HTTP1_BAD;
	if (s->method != HTTP1_METHOD_NONE)
		return HTTP1_ERROR;
	if (http1_is_proxy_line(w))
		s->mode = HTTP1_START;
	else if (low_bytes(window_word(w, w->pos), 3) == WORD(0, '\r', '\n', 0, 0, 0, 0, 0))
		s->mode = HTTP1_PROXY_FIXED;
	else
		return HTTP1_ERROR;
	s->method = HTTP1_METHOD_OTHER;
	s->captured = HTTP1_PROXIED;
	return HTTP1_AGAIN;
}

/* Parses the rest of the fixed part of version 2, once the window has all of it. */
PURE_INLINE int http1_proxy_step(struct http1_stream *s, struct http1_window *w)
{
	__u64 word = window_word(w, w->pos);
	__u32 length = (__u32)(word >> 56) << 8 | (__u8)WINDOW_BYTE(w, w->pos + 8);

	if (w->end - w->pos < PROXY_FIXED_REST) {
		w->scan = w->end;
		return HTTP1_AGAIN;
	}
	w->pos += PROXY_FIXED_REST;
	w->scan = w->pos;
	if (low_bytes(word, 5) != WORD('Q', 'U', 'I', 'T', '\n', 0, 0, 0) || !proxy_takes(word >> 40)) {
		s->mode = HTTP1_BAD;
		return HTTP1_ERROR;
	}
	s->remaining = length;
	s->mode = length ? HTTP1_PROXY_ADDRESSES : HTTP1_START;
	return HTTP1_AGAIN;
}

#endif
