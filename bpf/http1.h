/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The resumable HTTP/1.x parser (RFC 9112), one direction of one connection. Its owner puts bytes into a window, calls
 * http1_step until the window is used up, and acts on the events; what is left of an unfinished line is carried to the
 * next window, so that the result does not depend on how the bytes were split. It is lenient on purpose: whether a head
 * is well-formed is the server's to say (its own 400 takes a request back), so only what delimits messages is read.
 *
 * Of a line, the first HTTP1_LINE_HEAD and the last HTTP1_LINE_TAIL bytes are judged and no more, however it arrives;
 * of a request line HTTP1_REQUEST_HEAD, so that it does not matter how many carriage returns were passed over before
 * it.
 */
#ifndef MONITOR_HTTP1_H
#define MONITOR_HTTP1_H

#include "pure.h"

#define HTTP1_LINE_HEAD 176
#define HTTP1_LINE_TAIL 16
#define HTTP1_CARRY	(HTTP1_LINE_HEAD + HTTP1_LINE_TAIL)

/* Carriage returns by themselves that are passed over before a request, as httptools does: so many, in each line. */
#define HTTP1_STRAY_RETURNS 8
#define HTTP1_REQUEST_HEAD  (HTTP1_LINE_HEAD - HTTP1_STRAY_RETURNS)

/* Bytes that one fill may add to the window behind the carried ones. */
#define HTTP1_FILL 1024
/* The window's index mask; HTTP1_CARRY + HTTP1_FILL is less. Loads of eight bytes may run past it into the slack. */
#define HTTP1_MASK  2047
#define HTTP1_SLACK 64

/* Bytes of a body that are kept when asked for: enough for the server's own error texts. */
#define HTTP1_CAPTURE 32

enum http1_mode {
	HTTP1_START,	   /* before a start line; empty lines are skipped (RFC 9112 §2.2) */
	HTTP1_FIELD,	   /* at the start of a header field line that is wanted whole */
	HTTP1_SKIP,	   /* inside a header field line of no interest */
	HTTP1_TRAILER,	   /* at the start of a trailer line */
	HTTP1_CHUNK_HEAD,  /* at the start of a chunk-size line */
	HTTP1_DECIDE,	   /* a response's head is complete: http1_response_body must be called */
	HTTP1_CHUNK_DATA,  /* `remaining` bytes of a chunk and of the line end behind it */
	HTTP1_LENGTH,	   /* `remaining` bytes of a body with Content-Length */
	HTTP1_UNTIL_CLOSE, /* a response body that the close delimits */
	HTTP1_OVER,	   /* nothing more is read here: after Connection: close, in a tunnel */
	HTTP1_BAD,	   /* the bytes are no HTTP/1.x */
};

/* Bits of http1_stream.flags. Those of HTTP1_F_MESSAGE describe the message under way and are cleared at its start. */
#define HTTP1_F_CHUNKED	   0x0001 /* Transfer-Encoding ends in chunked */
#define HTTP1_F_HAS_LENGTH 0x0002
#define HTTP1_F_CLOSE	   0x0004 /* Connection: close */
#define HTTP1_F_KEEP_ALIVE 0x0008 /* Connection: keep-alive */
#define HTTP1_F_UPGRADE	   0x0010 /* Connection: upgrade with an Upgrade field */
#define HTTP1_F_OLD	   0x0020 /* HTTP/1.0 or less: one request a connection unless kept alive */
#define HTTP1_F_FIELD	   0x00c0 /* which field the next line may continue: one of the next three, or 0 */
#define HTTP1_F_LENGTH	   0x0040 /* Content-Length */
#define HTTP1_F_CONNECTION 0x0080 /* Connection */
#define HTTP1_F_CODING	   0x00c0 /* Transfer-Encoding */
#define HTTP1_F_CODED	   0x0400 /* there was a Transfer-Encoding */
#define HTTP1_F_UPGRADES   0x2000 /* Connection: upgrade */
#define HTTP1_F_TO	   0x4000 /* there was an Upgrade field */
#define HTTP1_F_MESSAGE	   0x64ff
#define HTTP1_F_RESPONSE   0x0100 /* this direction carries responses */
#define HTTP1_F_CAPTURING  0x0200 /* the body under way is captured */
#define HTTP1_F_HTTP2	   0x0800 /* the bad bytes are the preface of HTTP/2 */
#define HTTP1_F_TLS	   0x1000 /* the bad bytes look like a TLS record */

/* One direction of a connection. All zero is the start of a connection's requests. */
struct http1_stream {
	__u64 remaining; /* bytes of body until the next line or message */
	__u16 flags;	 /* HTTP1_F_* */
	__u16 status;	 /* of the response under way */
	__u8 mode;	 /* enum http1_mode */
	__u8 carried;	 /* bytes of an unfinished line in `carry` */
	__u8 captured;	 /* bytes of the body under way, stops at HTTP1_CAPTURE + 1; see `capture` */
	__u8 method;	 /* enum http1_method of the request under way */
	char carry[HTTP1_CARRY];
	char capture[HTTP1_CAPTURE];
};

enum http1_method {
	HTTP1_OTHER_METHOD,
	HTTP1_HEAD_METHOD,
	HTTP1_CONNECT_METHOD,
};

/* Where the bytes under the parser's eyes lie. One for each CPU in the kernel. */
struct http1_window {
	__u32 pos;	/* start of the line or of the unread bytes */
	__u32 scan;	/* from here on no line end was looked for yet */
	__u32 end;	/* behind the last byte */
	__u32 line;	/* scratch: start of the value under a byte-wise loop */
	__u32 line_end; /* scratch: its end */
	__u32 token_length;
	__u64 token;	    /* scratch: the last eight bytes of a list element, in lower case */
	__u64 number;	    /* scratch: the number being read */
	__u32 found;	    /* scratch: HTTP1_F_* bits found in a list */
	__u32 request_line; /* HTTP1_LINE_* of the request line that a step told of */
	__u32 last_found;   /* scratch: those of the last element */
	__u32 padding;
	char bytes[HTTP1_MASK + 1 + HTTP1_SLACK];
};

/* What a step has to tell. A request line and the end of its head may come together; the others come alone. */
enum http1_event {
	HTTP1_AGAIN = 0,	/* nothing: step again */
	HTTP1_REQUEST_LINE = 1, /* of a request, its key is filled in */
	HTTP1_HEAD = 2,		/* a head is complete; of a response: http1_response_body comes next */
	HTTP1_END = 4,		/* a message with a body that is not delimited by the close is complete */
	HTTP1_ERROR = 8,	/* the bytes are no HTTP/1.x; the mode is HTTP1_BAD */
	HTTP1_MORE = 16,	/* the window is used up */
};

#define WINDOW_BYTE(w, at) ((w)->bytes[(at)&HTTP1_MASK])

/* Makes a 64-bit position usable as an index. It changes nothing, since no position is past the mask, but says so to
 * the verifier, in the same words in each iteration of a loop: so that iterations look alike to it. */
#define WINDOW_INDEX(at)                                                                                               \
	do {                                                                                                           \
		keep_bound(at);                                                                                        \
		(at) &= HTTP1_MASK;                                                                                    \
	} while (0)

PURE_INLINE __u64 window_word(const struct http1_window *w, __u32 at)
{
	__u64 index = at;

	WINDOW_INDEX(index);
	return load_word(w->bytes + index);
}

#include "http1_fields.h"
#include "http1_request_line.h"

/* The status line "HTTP/1.1 200 OK" at pos. Returns whether it is one. */
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
	return true;
}

/* The request's head is complete: what comes next on the connection. RFC 9112 §6.3, §9.3. */
PURE_INLINE void http1_request_body(struct http1_stream *s)
{
	if ((s->flags & HTTP1_F_CLOSE) || ((s->flags & HTTP1_F_OLD) && !(s->flags & HTTP1_F_KEEP_ALIVE)))
		s->mode = HTTP1_OVER;
	else if (s->flags & HTTP1_F_CHUNKED)
		s->mode = HTTP1_CHUNK_HEAD;
	else if ((s->flags & HTTP1_F_HAS_LENGTH) && s->remaining)
		s->mode = HTTP1_LENGTH;
	else
		s->mode = HTTP1_START;
}

/* What http1_response_body decided. */
enum http1_delimiter {
	HTTP1_INTERIM,	/* 1xx: the response proper is still to come */
	HTTP1_NO_BODY,	/* the response ended with its head */
	HTTP1_HAS_BODY, /* HTTP1_END will come, or the close is the end when the mode is HTTP1_UNTIL_CLOSE */
	HTTP1_TUNNEL,	/* no HTTP follows: 101, or CONNECT accepted */
};

/* Bytes of the body of uvicorn's own 400. It is written in answer to HEAD too, against RFC 9110 §9.3.2. */
#define HTTP1_OWN_400_LENGTH 30

PURE_INLINE bool http1_maybe_own_400(const struct http1_stream *s)
{
	return s->status == 400 && (s->flags & HTTP1_F_CLOSE) &&
	       (!(s->flags & HTTP1_F_HAS_LENGTH) || s->remaining == HTTP1_OWN_400_LENGTH);
}

/* The response's head is complete; `method` is that of the request it answers. RFC 9112 §6.3. */
PURE_INLINE enum http1_delimiter http1_response_body(struct http1_stream *s, enum http1_method method)
{
	__u32 status = s->status;

	s->captured = 0;
	s->flags &= ~HTTP1_F_CAPTURING;
	if (status == 101 || (method == HTTP1_CONNECT_METHOD && status >= 200 && status < 300)) {
		s->mode = HTTP1_OVER;
		return HTTP1_TUNNEL;
	}
	if (status < 200) {
		s->mode = HTTP1_START;
		return HTTP1_INTERIM;
	}
	if (status == 204 || status == 304 || (method == HTTP1_HEAD_METHOD && !http1_maybe_own_400(s)) ||
	    ((s->flags & (HTTP1_F_HAS_LENGTH | HTTP1_F_CODED)) == HTTP1_F_HAS_LENGTH && !s->remaining)) {
		s->mode = HTTP1_START;
		return HTTP1_NO_BODY;
	}
	if (s->flags & HTTP1_F_CHUNKED)
		s->mode = HTTP1_CHUNK_HEAD;
	else if ((s->flags & (HTTP1_F_HAS_LENGTH | HTTP1_F_CODED)) == HTTP1_F_HAS_LENGTH)
		s->mode = HTTP1_LENGTH;
	else
		s->mode = HTTP1_UNTIL_CLOSE;
	/* The two texts that the server writes by itself: which response is one is the owner's to say. */
	if (status == 400 || status == 503)
		s->flags |= HTTP1_F_CAPTURING;
	return HTTP1_HAS_BODY;
}

/* Whether the captured body is exactly `text` of `length` (at most HTTP1_CAPTURE) bytes. */
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

/* ---- the window ---- */

/* Empties the window and puts what was carried in front. */
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

/* Carries what the window still holds of an unfinished line: call when a step said HTTP1_MORE. */
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
		for (__u32 i = 0; i < HTTP1_LINE_HEAD; i += 8)
			store_word(s->carry + i, window_word(w, w->pos + i));
		store_word(s->carry + HTTP1_LINE_HEAD, window_word(w, w->end - 16));
		store_word(s->carry + HTTP1_LINE_HEAD + 8, window_word(w, w->end - 8));
		s->carried = HTTP1_CARRY;
	}
	w->pos = w->end;
}

/* How many of the next bytes of the stream need not be seen at all: they may be skipped with http1_skip instead. */
PURE_INLINE __u64 http1_skippable(const struct http1_stream *s)
{
	if (s->mode < HTTP1_CHUNK_DATA || ((s->flags & HTTP1_F_CAPTURING) && s->captured < HTTP1_CAPTURE + 1))
		return 0;
	return s->mode <= HTTP1_LENGTH ? s->remaining : ~0ULL;
}

/* `count` (at most http1_skippable) bytes passed. */
PURE_INLINE enum http1_event http1_skip(struct http1_stream *s, __u64 count)
{
	if (s->mode > HTTP1_LENGTH)
		return HTTP1_AGAIN;
	s->remaining -= count;
	if (s->remaining)
		return HTTP1_AGAIN;
	if (s->mode == HTTP1_CHUNK_DATA) {
		s->mode = HTTP1_CHUNK_HEAD;
		return HTTP1_AGAIN;
	}
	s->mode = HTTP1_START;
	return HTTP1_END;
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
		keep_bound(at);
		s->capture[at & (HTTP1_CAPTURE - 1)] = WINDOW_BYTE(w, w->line);
	}
	s->captured += 1;
	w->line += 1;
	return 0;
}

/* Body bytes in the window. */
PURE_FUNCTION int http1_body_step(struct http1_stream *s, struct http1_window *w)
{
	__u64 count;

	if (!s || !w)
		return HTTP1_MORE;
	count = w->end - w->pos;
	if (s->mode <= HTTP1_LENGTH && count > s->remaining)
		count = s->remaining;
	if (s->flags & HTTP1_F_CAPTURING) {
		struct http1_capture_loop loop = {w, s};
		__u64 data = count;

		/* the line end behind a chunk is no body */
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

#include "http1_lines.h"

/* The start line of a message, whole in the window. Empty lines before it are passed over. */
PURE_INLINE int http1_start_line(struct http1_stream *s, struct http1_window *w, struct monitor_endpoint_key *key,
				 bool responses)
{
	int event = HTTP1_AGAIN;

	if (!responses) {
		ROLLED
		for (int i = 0; i < HTTP1_STRAY_RETURNS && WINDOW_BYTE(w, w->pos) == '\r'; ++i)
			w->pos += w->pos != w->line_end;
	}
	if (w->line_end != w->pos) {
		s->flags &= ~(HTTP1_F_MESSAGE | HTTP1_F_CAPTURING);
		s->remaining = 0;
		s->mode = HTTP1_FIELD;
		if (responses ? !http1_status_line(s, w) : !http1_request_line(s, w, key)) {
			s->mode = HTTP1_BAD;
			event = HTTP1_ERROR;
		} else if (!responses) {
			event = HTTP1_REQUEST_LINE;
		}
	}
	w->pos = w->scan;
	return event;
}

/* Any other line, whole in the window. */
PURE_INLINE int http1_line(struct http1_stream *s, struct http1_window *w, bool responses)
{
	int event = HTTP1_AGAIN;
	/* A request's head or trailers end for Debian's httptools at any line that begins with a carriage return; the
	 * other servers turn the request down. */
	bool empty = w->line_end == w->pos || (!responses && WINDOW_BYTE(w, w->pos) == '\r');

	switch (s->mode) {
	case HTTP1_FIELD:
		if (!empty) {
			http1_field_line(s, w);
			break;
		}
		event = HTTP1_HEAD;
		if (responses)
			s->mode = HTTP1_DECIDE;
		else
			http1_request_body(s);
		break;
	case HTTP1_CHUNK_HEAD:
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
 * One step; a usual head takes one or two. `key` receives the method and path of a request line (its `target` is left
 * alone); unused for responses. HTTP1_MORE when the window is used up, which is when scan is at its end; otherwise bits
 * of enum http1_event. Must not be called in mode HTTP1_DECIDE.
 */
PURE_INLINE int http1_step(struct http1_stream *s, struct http1_window *w, struct monitor_endpoint_key *key,
			   bool responses)
{
	int event = HTTP1_AGAIN;

	if (w->scan >= w->end)
		return HTTP1_MORE;
	if (s->mode >= HTTP1_CHUNK_DATA)
		return http1_body_step(s, w);
	if (s->mode == HTTP1_START) {
		if (!http1_find_line(w))
			return HTTP1_AGAIN;
		event = http1_start_line(s, w, key, responses);
		if (s->mode != HTTP1_FIELD || w->scan >= w->end)
			return event;
	}
	if (s->mode == HTTP1_FIELD && w->scan == w->pos && !http1_wanted(w, w->pos)) {
		s->mode = HTTP1_SKIP;
		s->flags &= ~HTTP1_F_FIELD;
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
