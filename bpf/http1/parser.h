/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The resumable HTTP/1.x parser (RFC 9112) for one direction of one connection. The caller puts bytes into a window,
 * calls http1_step until the window is used up, and acts on the events. The rest of an unfinished line is carried to
 * the next window, so the result does not depend on how the bytes were split. The parser is lenient on purpose, and
 * reads only what delimits messages: the server decides whether a head is well-formed, and its own 400 takes the
 * request back.
 *
 * The parser reads only the first HTTP1_LINE_PREFIX and the last HTTP1_LINE_SUFFIX bytes of a line. For a request line
 * the prefix is HTTP1_REQUEST_LINE_PREFIX, so that one more word can be loaded after it, even if the line was carried.
 */
#ifndef MONITOR_HTTP1_H
#define MONITOR_HTTP1_H

#include "http1/lines.h"
#include "http1/request_line.h"

/* Parses a status line such as "HTTP/1.1 200 OK" at pos. Returns false if it is not one. */
PURE_INLINE bool http1_status_line(struct http1_stream *s, const struct http1_window *w)
{
	__u64 first = window_word(w, w->pos);
	__u64 digits = window_word(w, w->pos + 8);
	__u32 a = (digits >> 8 & 0xff) - '0', b = (digits >> 16 & 0xff) - '0', c = (digits >> 24 & 0xff) - '0';

	if (low_bytes(first, 7) != WORD('H', 'T', 'T', 'P', '/', '1', '.', 0) || (digits & 0xff) != ' ')
		return false;
	if (w->line_end < w->pos + 12 || a > 9 || b > 9 || c > 9)
		return false;
	s->status = (__u16)(a * 100 + b * 10 + c);
	if ((first >> 56) == '0')
		s->flags |= HTTP1_F_OLD;
	return true;
}

/* The request's head is complete: decides what comes next on the connection (RFC 9112 §6.3, §9.3). */
PURE_INLINE void http1_request_body(struct http1_stream *s)
{
	if ((s->flags & HTTP1_F_CLOSE) || ((s->flags & HTTP1_F_OLD) && !(s->flags & HTTP1_F_KEEP_ALIVE)))
		s->mode = HTTP1_OVER;
	else if (s->flags & HTTP1_F_CHUNKED)
		s->mode = HTTP1_CHUNK_SIZE;
	else if ((s->flags & HTTP1_F_HAS_LENGTH) && s->remaining)
		s->mode = HTTP1_LENGTH;
	else
		s->mode = HTTP1_START;
}

/* What http1_response_body decides. */
enum http1_delimiter {
	HTTP1_INTERIM,	/* 1xx: the final response comes later */
	HTTP1_NO_BODY,	/* the response ended with its head */
	HTTP1_HAS_BODY, /* HTTP1_END comes at its end, or the close is the end if the mode is HTTP1_UNTIL_CLOSE */
	HTTP1_TUNNEL,	/* no HTTP follows: 101, or a successful CONNECT */
};

/* Bytes of the body of uvicorn's own 400. uvicorn sends it in answer to HEAD too, against RFC 9110 §9.3.2. */
#define HTTP1_OWN_400_LENGTH 30

PURE_INLINE bool http1_maybe_own_400(const struct http1_stream *s)
{
	return s->status == 400 && (s->flags & HTTP1_F_CLOSE) &&
	       (!(s->flags & HTTP1_F_HAS_LENGTH) || s->remaining == HTTP1_OWN_400_LENGTH);
}

/* The response's head is complete: decides what follows (RFC 9112 §6.3). `method` is that of the answered request. */
PURE_INLINE enum http1_delimiter http1_response_body(struct http1_stream *s, enum http1_method method)
{
	__u32 status = s->status;

	s->captured = 0;
	s->flags &= ~HTTP1_F_CAPTURING;
	if (status == 101 || (method == HTTP1_METHOD_CONNECT && status >= 200 && status < 300)) {
		s->mode = HTTP1_OVER;
		return HTTP1_TUNNEL;
	}
	if (status < 200) {
		s->mode = HTTP1_START;
		return HTTP1_INTERIM;
	}
	if (status == 204 || status == 304 || (method == HTTP1_METHOD_HEAD && !http1_maybe_own_400(s)) ||
	    ((s->flags & (HTTP1_F_HAS_LENGTH | HTTP1_F_HAS_CODING)) == HTTP1_F_HAS_LENGTH && !s->remaining)) {
		s->mode = HTTP1_START;
		return HTTP1_NO_BODY;
	}
	if (s->flags & HTTP1_F_CHUNKED)
		s->mode = HTTP1_CHUNK_SIZE;
	else if ((s->flags & (HTTP1_F_HAS_LENGTH | HTTP1_F_HAS_CODING)) == HTTP1_F_HAS_LENGTH)
		s->mode = HTTP1_LENGTH;
	else
		s->mode = HTTP1_UNTIL_CLOSE;
	/* The server sends these two by itself. The caller compares the body to find its own responses. */
	if (status == 400 || status == 503)
		s->flags |= HTTP1_F_CAPTURING;
	return HTTP1_HAS_BODY;
}

/* Returns whether the captured body is exactly `text`, of `length` (at most HTTP1_CAPTURE) bytes. */
PURE_INLINE bool http1_captured_is(const struct http1_stream *s, const char *text, __u32 length)
{
	if (!(s->flags & HTTP1_F_CAPTURING) || s->captured != length)
		return false;
	for (__u32 i = 0; i < length; ++i) {
		if (s->capture[i] != text[i])
			return false;
	}
	return true;
}

/* Returns whether the captured body is longer than HTTP1_CAPTURE bytes and begins with `text`, of that length. */
PURE_INLINE bool http1_captured_begins(const struct http1_stream *s, const char *text)
{
	if (!(s->flags & HTTP1_F_CAPTURING) || s->captured <= HTTP1_CAPTURE)
		return false;
	for (__u32 i = 0; i < HTTP1_CAPTURE; ++i) {
		if (s->capture[i] != text[i])
			return false;
	}
	return true;
}

/* ---- the window ---- */

/* Empties the window and puts the carried bytes into it. */
PURE_INLINE void http1_open_window(struct http1_stream *s, struct http1_window *w)
{
	__u32 carried = s->carried;

	if (carried) {
		for (__u32 i = 0; i < HTTP1_CARRY; i += 8)
			store_word(w->bytes + i, load_word(s->carry + i));
	}
	w->pos = 0;
	w->scan = carried;
	w->end = carried;
	s->carried = 0;
}

/* Carries the unfinished line in the window, if there is one. Call it after a step returned HTTP1_MORE. */
PURE_INLINE void http1_close_window(struct http1_stream *s, struct http1_window *w)
{
	__u32 left = w->end - w->pos;

	if (!left || left > HTTP1_MASK)
		return;
	if (left <= HTTP1_CARRY) {
		for (__u32 i = 0; i < HTTP1_CARRY; i += 8)
			store_word(s->carry + i, window_word(w, w->pos + i));
		s->carried = (__u8)left;
	} else {
		for (__u32 i = 0; i < HTTP1_LINE_PREFIX; i += 8)
			store_word(s->carry + i, window_word(w, w->pos + i));
		store_word(s->carry + HTTP1_LINE_PREFIX, window_word(w, w->end - 16));
		store_word(s->carry + HTTP1_LINE_PREFIX + 8, window_word(w, w->end - 8));
		s->carried = HTTP1_CARRY;
	}
	w->pos = w->end;
}

/* Returns how many of the next bytes the parser need not read. Pass them to http1_skip instead. */
PURE_INLINE __u64 http1_skippable(const struct http1_stream *s)
{
	if (s->mode < HTTP1_PROXY_ADDRESSES || ((s->flags & HTTP1_F_CAPTURING) && s->captured < HTTP1_CAPTURE + 1))
		return 0;
	return s->mode <= HTTP1_LENGTH ? s->remaining : ~0ULL;
}

/* Moves past `count` (at most http1_skippable) bytes. */
PURE_INLINE enum http1_event http1_skip(struct http1_stream *s, __u64 count)
{
	enum http1_event event;

	if (s->mode > HTTP1_LENGTH)
		return HTTP1_AGAIN;
	s->remaining -= count;
	if (s->remaining)
		return HTTP1_AGAIN;
	if (s->mode == HTTP1_CHUNK_DATA) {
		s->mode = HTTP1_CHUNK_SIZE;
		return HTTP1_AGAIN;
	}
	event = s->mode == HTTP1_LENGTH ? HTTP1_END : HTTP1_AGAIN;
	s->mode = HTTP1_START;
	return event;
}

struct http1_capture_loop {
	struct http1_window *w;
	struct http1_stream *s;
};

static int http1_capture_byte(__u32 i, struct http1_capture_loop *loop)
{
	struct http1_window *w = loop->w;
	struct http1_stream *s = loop->s;
	__u64 at = s->captured;

	if (w->line >= w->line_end || at > HTTP1_CAPTURE)
		return 1;
	if (at < HTTP1_CAPTURE) {
		barrier_var(at);
		s->capture[at & (HTTP1_CAPTURE - 1)] = WINDOW_BYTE(w, w->line);
	}
	s->captured += 1;
	w->line += 1;
	return 0;
}

/* Moves past the body bytes in the window, and captures them if asked to. Handles the modes from HTTP1_PROXY_FIXED
 * on. */
GLOBAL_FUNC int http1_body_step(struct http1_stream *s, struct http1_window *w)
{
	__u64 count;

	if (!s || !w)
		return HTTP1_MORE;
	if (s->mode == HTTP1_PROXY_FIXED)
		return http1_proxy_step(s, w);
	count = w->end - w->pos;
	if (s->mode <= HTTP1_LENGTH && count > s->remaining)
		count = s->remaining;
	if (s->flags & HTTP1_F_CAPTURING) {
		struct http1_capture_loop loop = {w, s};
		__u64 data = count;

		/* the line end after a chunk is not part of the body */
		if (s->mode == HTTP1_CHUNK_DATA && data + 2 > s->remaining)
			data = s->remaining > 2 ? s->remaining - 2 : 0;
		w->line = w->pos;
		w->line_end = w->pos + (__u32)data;
		repeat(HTTP1_CAPTURE + 1, http1_capture_byte, &loop);
	}
	w->pos += (__u32)count;
	w->scan = w->pos;
	return http1_skip(s, count);
}

/* Parses the start line of a message, or skips an empty line before it. The whole line is in the window. */
PURE_INLINE int http1_start_line(struct http1_stream *s, struct http1_window *w, struct monitor_endpoint_key *key,
				 bool responses)
{
	int event = HTTP1_AGAIN;

	if (w->line_end != w->pos) {
		s->flags &= ~(HTTP1_F_MESSAGE | HTTP1_F_CAPTURING);
		s->remaining = 0;
		s->mode = HTTP1_FIELD;
		if (responses) {
			if (!http1_status_line(s, w)) {
				s->mode = HTTP1_BAD;
				event = HTTP1_ERROR;
			}
		} else if (http1_request_line(s, w, key)) {
			event = HTTP1_REQUEST_LINE;
		} else {
			event = http1_refused_line(s, w);
		}
	}
	w->pos = w->scan;
	return event;
}

/* Parses any other line. The whole line is in the window. */
PURE_INLINE int http1_line(struct http1_stream *s, struct http1_window *w, bool responses)
{
	int event = HTTP1_AGAIN;
	/* For Debian's httptools, any line that begins with a carriage return ends a request's head or trailers. Other
	 * servers reject such a request. */
	bool empty = w->line_end == w->pos || (!responses && WINDOW_BYTE(w, w->pos) == '\r');

	switch (s->mode) {
	case HTTP1_FIELD:
		if (!empty) {
			if (!http1_usual_length(s, w))
				http1_field_line(s, w);
			break;
		}
		event = HTTP1_HEAD_COMPLETE;
		if (responses)
			s->mode = HTTP1_DECIDE;
		else
			http1_request_body(s);
		break;
	case HTTP1_CHUNK_SIZE:
		if (!http1_chunk_line(s, w)) {
			s->mode = HTTP1_BAD;
			event = HTTP1_ERROR;
		}
		break;
	default: /* HTTP1_TRAILER */
		if (empty) {
			s->mode = HTTP1_START;
			event = HTTP1_END;
		}
		break;
	}
	w->pos = w->scan;
	return event;
}

/*
 * Parses one step; a usual head takes one or two. `key` receives the method and path of a request line, not `target`;
 * responses do not use it. Returns HTTP1_MORE when scan has reached the end of the window, otherwise bits of enum
 * http1_event. Must not be called in mode HTTP1_DECIDE.
 */
PURE_INLINE int http1_step(struct http1_stream *s, struct http1_window *w, struct monitor_endpoint_key *key,
			   bool responses)
{
	int event = HTTP1_AGAIN;

	if (w->scan >= w->end)
		return HTTP1_MORE;
	if (s->mode >= HTTP1_PROXY_FIXED)
		return http1_body_step(s, w);
	if (s->mode == HTTP1_START) {
		/* httptools skips carriage returns before a request. Skip each one now, because the prefix of the
		 * request line begins after them. */
		if (!responses && WINDOW_BYTE(w, w->pos) == '\r') {
			w->pos += 1;
			if (w->scan < w->pos)
				w->scan = w->pos;
			return HTTP1_AGAIN;
		}
		if (!http1_find_line(w))
			return HTTP1_AGAIN;
		event = http1_start_line(s, w, key, responses);
		if (s->mode != HTTP1_FIELD || w->scan >= w->end)
			return event;
	}
	if (s->mode == HTTP1_FIELD && w->scan == w->pos && !http1_wanted(w, w->pos)) {
		s->mode = HTTP1_SKIP;
		s->flags &= ~HTTP1_F_FIELD_MASK;
	}
	if (s->mode == HTTP1_SKIP) {
		if (!http1_skip_fields(w))
			return event;
		s->mode = HTTP1_FIELD;
	}
	if (http1_find_line(w))
		event |= http1_line(s, w, responses);
	return event;
}

#endif
