/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * HTTP/1.x, the server's direction: reads responses and reports the head and the end of the request that each answers,
 * which is the oldest in flight (RFC 9112 §9.3.2).
 */
#ifndef MONITOR_HTTP1_RESPONSES_BPF_H
#define MONITOR_HTTP1_RESPONSES_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/count.bpf.h"
#include "account/requests.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/http1_walk.bpf.h"
#include "feed/scratch.bpf.h"
#include "http1/parser.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"
#include "state/requests.bpf.h"

/* The two responses that uvicorn writes by itself, without its application. */
#define OWN_400	       "Invalid HTTP request received."
#define OWN_503	       "Service Unavailable"
#define OWN_503_LENGTH 19

/* How gunicorn's own 400 begins (gunicorn/util.py, write_error): HTTP1_CAPTURE bytes. */
#define GUNICORN_400 "<html>\n  <head>\n    <title>Bad R"

/* Returns whether the response is a 400 after which the server closes the connection, or one that the close ends. */
static __always_inline bool is_closing_400(const struct http1_stream *s)
{
	return s->status == 400 &&
	       ((s->flags & HTTP1_F_CLOSE) || (s->flags & (HTTP1_F_OLD | HTTP1_F_KEEP_ALIVE)) == HTTP1_F_OLD ||
		!(s->flags & (HTTP1_F_HAS_LENGTH | HTTP1_F_HAS_CODING)));
}

/* Returns whether the server's next response is its first one on a connection that began with a header of the PROXY
 * protocol. */
static __always_inline bool answers_proxy_header(const struct conn *c)
{
	__u64 word = READ_ONCE(c->word);

	return c->protocol.requests.captured == HTTP1_PROXIED && request_id_next(word) == conn_in_flight(word);
}

/*
 * Returns whether the response to the oldest request is the server's own 400. A connection began with a header of the
 * PROXY protocol, and its first response is a 400 that closes: the server rejects the header, unless it is known that
 * this listener takes such headers.
 */
static __always_inline bool is_own_400(const struct conn *c)
{
	const struct http1_stream *s = &c->protocol.responses;
	const struct monitor_listener *l;

	if (!is_closing_400(s))
		return false;
	if (http1_captured_is(s, OWN_400, HTTP1_OWN_400_LENGTH) || http1_captured_begins(s, GUNICORN_400))
		return true;
	if (!answers_proxy_header(c))
		return false;
	l = listener_at(c->listener);
	return l && !(l->http & LISTENER_PROXIED);
}

static __always_inline bool is_own_503(const struct http1_stream *s)
{
	return s->status == 503 && (s->flags & HTTP1_F_CLOSE) && http1_captured_is(s, OWN_503, OWN_503_LENGTH);
}

/* ---- how the request ends if the server closes the connection next ---- */

/* Returns whether the close completes the response. uvicorn's own 400 to HEAD carries a body; a 400 to HEAD without one
 * is the application's, and complete. */
static __always_inline bool close_ends(const struct http1_stream *s, __u16 method)
{
	return s->mode == HTTP1_UNTIL_CLOSE || (method == HTTP1_METHOD_HEAD && s->status == 400 && !s->captured);
}

/* Updates how the oldest request ends if the server closes the connection next: bytes of its response were captured, or
 * the capture ended. */
GLOBAL_FUNC int update_close_flags(struct conn *c)
{
	struct conn_request *r;
	struct http1_stream *s;
	__u32 id, flags = 0;

	if (!c)
		return 0;
	s = &c->protocol.responses;
	if (s->mode == HTTP1_START || s->mode == HTTP1_BAD || (c->flags & CONN_UNMATCHED))
		return 0;
	id = request_oldest(c);
	if (id == NO_REQUEST)
		return 0;
	r = request_find(c, id);
	if (!r || !(r->flags & REQUEST_ANSWERING))
		return 0;
	if (close_ends(s, r->method))
		flags |= REQUEST_CLOSE_ENDS;
	if (is_own_400(c))
		flags |= REQUEST_REJECTED;
	r->flags = (r->flags & ~(REQUEST_CLOSE_ENDS | REQUEST_REJECTED)) | flags;
	return 0;
}

/* ---- the end of a response ---- */

static __always_inline void response_end(struct conn *c)
{
	const struct http1_stream *s = &c->protocol.responses;
	__u32 outcome = OUTCOME_ANSWERED, id;

	if (c->flags & CONN_UNMATCHED) {
		c->flags &= ~CONN_UNMATCHED;
		return;
	}
	if (is_own_400(c)) {
		/* first, because a close that comes now counts the later requests by it */
		WRITE_ONCE(c->rejected, 1);
		c->protocol.requests.mode = HTTP1_OVER;
		c->protocol.requests.carried = 0;
		outcome = OUTCOME_REJECTED;
	} else if (is_own_503(s)) {
		outcome = OUTCOME_REFUSED;
	}
	id = request_oldest(c);
	if (id != NO_REQUEST)
		request_end(c, id, outcome, s->status);
}

GLOBAL_FUNC int response_end_call(struct conn *c)
{
	if (c)
		response_end(c);
	return 0;
}

/* ---- the head of a response ---- */

/* Returns the undercount cause of a client whose bytes are not HTTP/1.x, by its first bytes. */
static __always_inline __u32 foreign_protocol(const struct http1_stream *requests)
{
	if (requests->flags & HTTP1_F_HTTP2)
		return UNDERCOUNT_HTTP2;
	if ((requests->flags & HTTP1_F_TLS) || (requests->carried && requests->carry[0] == 0x16))
		return UNDERCOUNT_TLS;
	return UNDERCOUNT_PROTOCOL;
}

/* Returns whether the response is an error before a close, on a connection that began with bytes that are no request:
 * some servers answer these with a 500 or 505. */
static __always_inline bool rejects_bytes(const struct conn *c)
{
	const struct http1_stream *s = &c->protocol.responses;

	return s->status >= 500 && (s->flags & HTTP1_F_CLOSE) && c->protocol.requests.mode == HTTP1_BAD &&
	       !(c->flags & CONN_UNSEEN) && !request_id_next(READ_ONCE(c->word));
}

/* The server has rejected bytes that were no request, and closes. It may read what follows, to discard it. */
static __always_inline void bytes_rejected(struct conn *c)
{
	count_rejected(c);
	c->protocol.requests.mode = HTTP1_OVER;
	c->protocol.requests.carried = 0;
}

/* A response head with no matching request. */
GLOBAL_FUNC int response_unmatched(struct conn *c)
{
	struct http1_stream *s;
	__u32 status;

	if (!c)
		return 0;
	s = &c->protocol.responses;
	status = s->status;
	http1_response_body(s, HTTP1_METHOD_OTHER);
	if (status < 200)
		return 0;
	if (s->mode != HTTP1_START)
		c->flags |= CONN_UNMATCHED;
	/* Sent while the connection closed: the close has counted the request that it answers. */
	if (READ_ONCE(c->word) & CONN_CLOSED)
		return 0;
	/* The server's own 400 closes the connection. A 408 is a notice before the close: it answers no request. */
	if (is_closing_400(s) || rejects_bytes(c))
		bytes_rejected(c);
	else if (status != 408)
		conn_lose(c, c->flags & CONN_UNSEEN ? UNDERCOUNT_GAP : foreign_protocol(&c->protocol.requests));
	return 0;
}

/* The connection becomes a tunnel after the response `s` to request `r`. */
static __always_inline void response_tunnels(struct conn *c, struct conn_request *r, const struct http1_stream *s)
{
	bool upgrade = s->status == 101; /* otherwise CONNECT */

	request_tunnels(c, r, s->status, upgrade && (s->flags & HTTP1_F_WEBSOCKET));
	if (upgrade && !(s->flags & HTTP1_F_WEBSOCKET) && (s->flags & HTTP1_F_HTTP2))
		conn_undercount(c, UNDERCOUNT_HTTP2);
}

/* The head of a response is complete. Returns whether the whole response is. */
static __always_inline bool response_head(struct conn *c)
{
	struct http1_stream *s = &c->protocol.responses;
	enum http1_method method = HTTP1_METHOD_OTHER;
	struct conn_request *r;
	__u32 id;

	if (!(c->flags & CONN_SPOKE)) {
		c->flags |= CONN_SPOKE;
		listener_proven(c, c->protocol.requests.captured == HTTP1_PROXIED && !is_closing_400(s));
	}
	id = request_oldest(c);
	if (id == NO_REQUEST) {
		response_unmatched(c);
		return false;
	}
	r = request_find(c, id);
	if (r) {
		method = r->method;
		if (s->status >= 200 || s->status == 101)
			request_first_byte(r);
	}
	switch (http1_response_body(s, method)) {
	case HTTP1_INTERIM:
		break;
	case HTTP1_NO_BODY:
		return true;
	case HTTP1_TUNNEL:
		c->flags |= CONN_TUNNEL;
		if (r)
			response_tunnels(c, r, s);
		break;
	case HTTP1_HAS_BODY:
		if (r)
			request_head(r, s->status, close_ends(s, method) ? REQUEST_CLOSE_ENDS : 0);
		break;
	}
	return false;
}

/* Notes what the server sends first on its listener if that is not HTTP/1.x: the bytes of the window. */
static __attribute__((noinline)) int note_foreign(struct conn *c, struct http1_window *w)
{
	struct monitor_listener *l;

	if (!c || !w)
		return 0;
	l = listener_at(c->listener);
	if (!l)
		return 0;
	UNROLLED
	for (__u32 i = 0; i < sizeof(l->foreign_bytes); ++i)
		l->foreign_bytes[i] = w->pos + i < w->end ? (__u8)WINDOW_BYTE(w, w->pos + i) : 0;
	l->foreign = 1;
	return 0;
}

/* Returns whether requests on the listener may be something else that looked alike: nothing shows that it speaks HTTP.
 */
static __always_inline bool listener_unknown(const struct monitor_listener *l)
{
	return l && !l->http && !l->presumed;
}

/*
 * The server's bytes are not HTTP/1.x. The client's first bytes decide which protocol the undercount names. Nothing is
 * missed if the server has never spoken HTTP on this connection and listener, and the client seems to have asked
 * nothing or nobody expects HTTP there.
 */
static __always_inline void response_unreadable(struct conn *c, struct http1_window *w)
{
	struct monitor_listener *l = listener_at(c->listener);
	__u32 cause = foreign_protocol(&c->protocol.requests);

	if (c->flags & CONN_SPOKE) {
		conn_lose(c, UNDERCOUNT_PROTOCOL);
		return;
	}
	if (cause == UNDERCOUNT_PROTOCOL && answers_proxy_header(c)) {
		/* a page that says what is wrong with the header, without a head */
		conn_withdraw(c);
		count_rejected(c);
		c->flags |= CONN_IGNORED | CONN_LOST;
		return;
	}
	note_foreign(c, w);
	if (cause == UNDERCOUNT_PROTOCOL && l && !l->http && (listener_unknown(l) || !conn_in_flight(c->word)))
		cause = UNDERCOUNT_NONE;
	conn_lose(c, cause);
	c->flags |= CONN_IGNORED;
}

/* The server's first bytes were not HTTP/1.x: what the client sent before was no request, if it is unknown what the
 * listener speaks. */
static __always_inline void response_ignored(struct conn *c)
{
	if (conn_in_flight(c->word) && listener_unknown(listener_at(c->listener)))
		conn_withdraw(c);
}

/* ---- the walk ---- */

/* Returns whether the first byte rules out a response, which starts with "HTTP/" or with line ends before it. This
 * detects other protocols at once; they may never send the line end that the parser waits for. */
static __always_inline bool begins_no_response(const struct http1_stream *s, const struct http1_window *w)
{
	char first = WINDOW_BYTE(w, w->pos);

	return s->mode == HTTP1_START && first != 'H' && first != '\r' && first != '\n';
}

static int responses_step(__u32 i, struct walk *walk)
{
	struct walk_scratch *x = walk->x;
	struct conn *c = walk->c;
	int event;

	if (walk_fill(x, &c->protocol.responses, &event))
		return 1;
	if (event == HTTP1_AGAIN && x->window.scan < x->window.end) {
		if (begins_no_response(&c->protocol.responses, &x->window)) {
			c->protocol.responses.mode = HTTP1_BAD;
			event = HTTP1_ERROR;
		} else {
			event = http1_step(&c->protocol.responses, &x->window, &c->key, true);
		}
	}
	if (event == HTTP1_HEAD_COMPLETE && response_head(c))
		event = HTTP1_END;
	if (event == HTTP1_END)
		response_end(c);
	else if (event == HTTP1_ERROR)
		response_unreadable(c, &x->window);
	return walk_over(x);
}

/* `count` bytes passed that cannot be read. Returns whether the stream can continue after them. */
static __always_inline bool http1_pass_responses(struct conn *c, __u64 count)
{
	struct http1_stream *s = &c->protocol.responses;
	bool capturing = s->flags & HTTP1_F_CAPTURING;
	enum http1_event event;

	if (!http1_pass(s, count, &event))
		return false;
	if (event == HTTP1_END)
		response_end_call(c);
	else if (capturing)
		update_close_flags(c);
	return true;
}

/* Returns whether the next `length` bytes need not be read, because they lie inside a body. Skips them then. */
static __always_inline bool http1_skip_responses(struct conn *c, __u64 length)
{
	struct http1_stream *s = &c->protocol.responses;

	if (http1_skippable(s) < length)
		return false;
	if (http1_skip(s, length) == HTTP1_END)
		response_end(c);
	return true;
}

/* Reads the bytes at x->bytes. If some are left, the memory could not be read, or the walk took too many steps. */
static __always_inline void http1_read_responses(struct conn *c, struct walk_scratch *x)
{
	struct walk walk = {c, x};

	http1_open_window(&c->protocol.responses, &x->window);
	bpf_loop(WALK_STEPS, responses_step, &walk, 0);
	http1_close_window(&c->protocol.responses, &x->window);
	if (c->protocol.responses.flags & HTTP1_F_CAPTURING)
		update_close_flags(c);
}

#endif
