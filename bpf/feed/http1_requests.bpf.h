/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * HTTP/1.x, the client's direction: reads requests and reports their begin to account/.
 */
#ifndef MONITOR_HTTP1_REQUESTS_BPF_H
#define MONITOR_HTTP1_REQUESTS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/requests.bpf.h"
#include "account/undercount.bpf.h"
#include "feed/http1_walk.bpf.h"
#include "feed/routes.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "http1/parser.h"
#include "http1/path_fold.h"
#include "http1/request_start.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"

/* Returns whether the bytes of a receive on a lost connection are a clean start of a request, or of a header of the
 * PROXY protocol if no request was seen yet. The first buffer must hold at least 16 bytes of it, which is as long as
 * "GET / HTTP/1.1\r\n". */
static __always_inline bool http1_begins_request(const struct conn *c, struct user_bytes *u, __u32 length)
{
	__u64 start[2];

	if (!u->base_left && user_bytes_next(u))
		return false;
	if (length < sizeof(start) || u->base_left < sizeof(start) ||
	    bpf_probe_read_user(start, sizeof(start), (void *)u->base))
		return false;
	return is_request_start(start[0], start[1]) ||
	       (c->protocol.requests.method == HTTP1_METHOD_NONE && is_proxy_start(start[0], start[1]));
}

/* `count` bytes passed that cannot be read. Returns whether the stream can continue after them. */
static __always_inline bool http1_pass_requests(struct conn *c, __u64 count)
{
	enum http1_event event;

	return http1_pass(&c->protocol.requests, count, &event);
}

/* Bytes after an upgrade request in the same read may belong to another protocol: httptools drops them, h11 does not.
 * This function drops them, and the stream resumes at the next clean start of a request. Returns whether there were
 * any. */
static __always_inline bool upgrade_drops(struct conn *c, struct walk_scratch *x)
{
	if (c->protocol.requests.mode != HTTP1_START || walk_over(x))
		return false;
	conn_lose(c, UNDERCOUNT_PROTOCOL);
	x->window.scan = x->window.end;
	x->window.pos = x->window.end;
	x->bytes.left = 0;
	return true;
}

/* A request line has been read: makes the connection's key name its endpoint. */
static __always_inline void name_endpoint(struct conn *c, struct walk_scratch *x)
{
	__u32 line = x->window.request_line, mode = FOLD_IDENTIFIERS;
	struct conn *again = c;

	c->key.target = c->target;
	c->key.listener = c->listener_number;
	if (has_routes && (line & HTTP1_LINE_HAS_PATH) && route_match(&c->key, &x->route, &x->window)) {
		c->key_valid = 0;
		return;
	}
	/* unchanged and whole: the last request was folded to this, and nothing in it folds */
	if (!(line & HTTP1_LINE_CHANGED) && !(c->key.flags & ENDPOINT_PATH_CUT))
		return;
	if (!(line & HTTP1_LINE_MAY_FOLD)) {
		/* A secret can be all lower-case letters. An endpoint that exists was searched for them before. */
		endpoint_find(c);
		if (c->key_valid || !(line & HTTP1_LINE_HAS_TEXT))
			return;
		mode = FOLD_UNMARKED;
	}
	c->key_valid = 0;
	if (raw_paths)
		mode = FOLD_SECRETS;
	if (raw_paths && show_secrets)
		return;
	/* without it, the compiler spills more than the stack has room for */
	barrier_var(again);
	path_fold(&again->key, &x->fold, &x->window, mode);
}

/* Returns the position in the stream of the first byte that the walk has not parsed. */
static __always_inline __u32 walk_position(const struct conn *c, const struct walk_scratch *x)
{
	return c->copied_seq - (x->window.end - x->window.pos) - (__u32)x->bytes.left;
}

static int requests_step(__u32 i, struct walk *walk)
{
	struct walk_scratch *x = walk->x;
	struct conn *c = walk->c;
	int event;

	if (walk_fill(x, &c->protocol.requests, &event))
		return 1;
	if (c->protocol.requests.mode == HTTP1_START && !c->arrived_ns)
		c->arrived_ns = arrival_of(&c->arrivals, walk_position(c, x));
	/* the end of a request's body needs no action */
	event = http1_step(&c->protocol.requests, &x->window, &c->key, false);
	if (event & HTTP1_REQUEST_LINE)
		name_endpoint(c, x);
	if (event & HTTP1_HEAD_COMPLETE) {
		request_begin(c, c->protocol.requests.method);
		if ((c->protocol.requests.flags & HTTP1_F_UPGRADE) && upgrade_drops(c, x))
			return 1;
	}
	return walk_over(x);
}

/* Reads the bytes at x->bytes. If some are left, the memory could not be read, or the walk took too many steps. */
static __always_inline void http1_read_requests(struct conn *c, struct walk_scratch *x)
{
	struct walk walk = {c, x};

	http1_open_window(&c->protocol.requests, &x->window);
	bpf_loop(WALK_STEPS, requests_step, &walk, 0);
	http1_close_window(&c->protocol.requests, &x->window);
}

#endif
