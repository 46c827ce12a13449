/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Walks the HTTP/1.x parser over the bytes of one event, in blocks within one program run. http1_requests.bpf.h and
 * http1_responses.bpf.h do the steps of each direction.
 */
#ifndef MONITOR_HTTP1_WALK_BPF_H
#define MONITOR_HTTP1_WALK_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "feed/scratch.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "http1/parser.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"

/* Maximum number of steps in one walk. One step handles a line, a skip within a body, a vector, or a hundred bytes of a
 * long line. A megabyte of the shortest lines stays below the limit; a walk that exceeds it loses the stream. */
#define WALK_STEPS (1 << 21)

/* Context of the bpf_loop callbacks below. */
struct walk {
	struct conn *c;
	struct walk_scratch *x;
};

/*
 * Gives the parser more bytes: skips bytes of a body unread, or puts the next ones into the window after the carried
 * ones. Returns HTTP1_MORE if the event has no bytes left, HTTP1_ERROR if they cannot be read (u->left is not 0 then).
 */
static __always_inline enum http1_event http1_fill(struct user_bytes *u, struct http1_stream *s, struct http1_window *w)
{
	__u64 count = u->base_left < u->left ? u->base_left : u->left;
	__u64 skip, at;

	if (!u->left)
		return HTTP1_MORE;
	if (!count)
		return user_bytes_next(u) ? HTTP1_ERROR : HTTP1_AGAIN;
	skip = http1_skippable(s);
	if (skip) {
		if (count > skip)
			count = skip;
		user_bytes_advance(u, count);
		return http1_skip(s, count);
	}
	http1_close_window(s, w);
	http1_open_window(s, w);
	if (count > HTTP1_FILL)
		count = HTTP1_FILL;
	at = w->end & 255; /* at most HTTP1_CARRY */
	barrier_var(at);
	barrier_var(count);
	at &= 255;
	if (count > HTTP1_FILL || bpf_probe_read_user(w->bytes + at, count, (void *)u->base))
		return HTTP1_ERROR;
	w->end += count;
	user_bytes_advance(u, count);
	return HTTP1_AGAIN;
}

/* Refills the window when it is used up, or skips body bytes unread. Returns 1 when the walk is over: all bytes are
 * taken (bytes.left is 0), or they cannot be read. */
static __always_inline int walk_fill(struct walk_scratch *x, struct http1_stream *s, int *event)
{
	*event = HTTP1_AGAIN;
	if (x->window.scan < x->window.end)
		return 0;
	*event = http1_fill(&x->bytes, s, &x->window);
	return *event == HTTP1_MORE || *event == HTTP1_ERROR;
}

/* Returns whether no bytes are left for another step. Saves the extra step that would find that out. */
static __always_inline int walk_over(const struct walk_scratch *x)
{
	return x->window.scan >= x->window.end && !x->bytes.left;
}

/* Skips `count` bytes that cannot be read. Inside a body the parser does not need them. Ends the capture, because the
 * bodies of uvicorn's own responses can always be read. Returns whether the stream can continue after them; `event` is
 * then HTTP1_END if they completed a message. */
static __always_inline bool http1_pass(struct http1_stream *s, __u64 count, enum http1_event *event)
{
	s->flags &= ~HTTP1_F_CAPTURING;
	*event = HTTP1_AGAIN;
	if (http1_skippable(s) < count)
		return false;
	*event = http1_skip(s, count);
	return true;
}

#endif
