/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Feeds the bytes of one receive or send to the parser, in blocks within one program run, and passes what the parser
 * finds to the connection's state machine.
 */
#ifndef MONITOR_STREAMS_BPF_H
#define MONITOR_STREAMS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/requests.bpf.h"
#include "arch/syscall.bpf.h"
#include "feed/adopted.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "http1/parser.h"
#include "http1/path_fold.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"

/* Flags of receives that take nothing out of the stream. */
#define MSG_ASIDE (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB)

/* Maximum number of steps in one walk. A step takes a line, a body's skip, a vector, or a hundred bytes of a long line.
 * A megabyte of the shortest lines stays below the limit; a walk that exceeds it loses the stream. */
#define WALK_STEPS (1 << 21)

/* Context of the bpf_loop callbacks below. */
struct walk {
	struct conn *c;
	struct walk_scratch *x;
};

/* Refills the window when it is used up, or skips body bytes unread. Returns 1 when the walk is over: all bytes are
 * taken (source.left is 0), or they cannot be read. */
static __always_inline int walk_fill(struct walk_scratch *x, struct http1_stream *s, int *event)
{
	*event = HTTP1_AGAIN;
	if (x->window.scan < x->window.end)
		return 0;
	*event = user_bytes_fill(&x->source, s, &x->window);
	return *event == HTTP1_MORE || *event == HTTP1_ERROR;
}

/* Returns whether no bytes are left for another step; saves the call that would find out. */
static __always_inline int walk_over(const struct walk_scratch *x)
{
	return x->window.scan >= x->window.end && !x->source.left;
}

/* Bytes after an upgrade request in the same read may belong to another protocol; httptools drops them, h11 does not.
 * Drops them: the stream resumes at the next clean start of a request. Returns whether there were any. */
static __always_inline bool upgrade_drops(struct conn *c, struct walk_scratch *x)
{
	if (c->requests.mode != HTTP1_START || walk_over(x))
		return false;
	conn_lose(c, UNDERCOUNT_PROTOCOL);
	x->window.scan = x->window.end;
	x->window.pos = x->window.end;
	x->source.left = 0;
	return true;
}

static int requests_step(__u32 i, struct walk *walk)
{
	struct walk_scratch *x = walk->x;
	struct conn *c = walk->c;
	int event;

	if (walk_fill(x, &c->requests, &event))
		return 1;
	/* the end of a request's body needs no action */
	event = http1_step(&c->requests, &x->window, &c->key, false);
	if (event & HTTP1_REQUEST_LINE) {
		c->key.target = c->target;
		if (!raw_paths && (x->window.request_line & HTTP1_LINE_DIGITS)) {
			path_fold(&c->key, &x->fold);
			c->key_valid = 0;
		} else if (x->window.request_line & HTTP1_LINE_CHANGED) {
			c->key_valid = 0;
		}
	}
	if (event & HTTP1_HEAD_COMPLETE) {
		request_begin(c);
		if ((c->requests.flags & HTTP1_F_UPGRADE) && upgrade_drops(c, x))
			return 1;
	}
	return walk_over(x);
}

/* Returns whether the first byte rules out a response, which starts with "HTTP/" or with line ends before it. This
 * detects other protocols at once; the line end that the parser waits for may never come in them. */
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

	if (walk_fill(x, &c->responses, &event))
		return 1;
	if (event == HTTP1_AGAIN && x->window.scan < x->window.end) {
		if (begins_no_response(&c->responses, &x->window)) {
			c->responses.mode = HTTP1_BAD;
			event = HTTP1_ERROR;
		} else {
			event = http1_step(&c->responses, &x->window, &c->key, true);
		}
	}
	if (event == HTTP1_HEAD_COMPLETE && response_head(c))
		event = HTTP1_END;
	if (event == HTTP1_END)
		response_end(c);
	else if (event == HTTP1_ERROR)
		response_unreadable(c);
	return walk_over(x);
}

/* Skips `count` bytes that cannot be read. Inside a body the parser does not need them; the capture ends, because
 * such a body is not one that the server wrote by itself. Returns whether the stream can continue after them. */
static __always_inline bool pass_unseen(struct http1_stream *s, __u64 count, enum http1_event *event)
{
	s->flags &= ~HTTP1_F_CAPTURING;
	*event = HTTP1_AGAIN;
	if (http1_skippable(s) < count)
		return false;
	*event = http1_skip(s, count);
	return true;
}

/* The system call that an event belongs to. If `known`, `regs` are its registers. Otherwise it is the current call,
 * provided that the descriptor in that call's registers is `sk`. */
struct call {
	bool known; /* constant at compile time */
	const struct pt_regs *regs;
	struct sock *sk;
	struct task_struct *task; /* the current task, or NULL if not fetched yet */
};

/* Finds the bytes of this event. `result` and the return value are those of user_bytes_open. */
static __always_inline int find_bytes(struct user_bytes *u, const struct call *call, __u64 length,
				      struct message_cursor *cursor, __u32 result, bool sends)
{
	const struct pt_regs *regs = call->regs;
	struct task_struct *task = call->task;

	if (!call->known) {
		if (!task)
			task = bpf_get_current_task_btf();
		regs = saved_registers(u, task);
		/* Once a call is over, ax holds its result and the registers belong to no call. io_uring work runs
		 * then. */
		if (!syscall_is_running(regs) || !fd_is_socket(task, SYSCALL_ARG1(regs), call->sk))
			return syscall_number(regs) == SYSCALL_SPLICE ? UNDERCOUNT_GAP : UNDERCOUNT_REGISTERS;
	}
	return user_bytes_open(u, regs, length, cursor, result, sends);
}

/* Returns whether the bytes of a receive are a clean start of a request. It has to be in the first buffer and at least
 * as long as "GET / HTTP/1.1\r\n". */
static __always_inline bool begins_request(struct user_bytes *u, __u32 length)
{
	__u64 start[2];

	if (!u->base_left && user_bytes_next(u))
		return false;
	return length >= sizeof(start) && u->base_left >= sizeof(start) &&
	       !bpf_probe_read_user(start, sizeof(start), (void *)u->base) && is_request_start(start[0], start[1]);
}

/*
 * `length` bytes were received, after `gap` bytes without an event. `result` is what the call returned, or 0 if it is
 * still running. Receives that discard their bytes (MSG_TRUNC) do not fill the buffer.
 */
static __always_inline void received(struct conn *c, const struct call *call, __u32 length, __u32 gap,
				     bool buffer_filled, __u32 result)
{
	struct walk walk = {c, NULL};
	enum http1_event event;
	__u32 zero = 0;
	int unknown;

	/* A single byte may be urgent data, which the server's reads skip: it is not part of the body then. */
	if (gap) {
		c->flags &= ~CONN_UNSEEN;
		if (!(c->flags & CONN_LOST) && (gap == 1 || !pass_unseen(&c->requests, gap, &event)))
			conn_lose(c, UNDERCOUNT_GAP);
	}
	walk.x = bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!walk.x)
		return;
	unknown = find_bytes(&walk.x->source, call, length, &c->receiving, result, false);
	if (!buffer_filled)
		unknown = UNDERCOUNT_GAP;
	if (c->flags & CONN_LOST) {
		if (unknown || !begins_request(&walk.x->source, length)) {
			adopted_received(c, unknown);
			return;
		}
		conn_resync(c);
	}
	if (unknown) {
		if (!pass_unseen(&c->requests, length, &event))
			conn_lose(c, unknown);
		return;
	}
	http1_open_window(&c->requests, &walk.x->window);
	bpf_loop(WALK_STEPS, requests_step, &walk, 0);
	if (walk.x->source.left)
		conn_lose(c, UNDERCOUNT_MEMORY);
	http1_close_window(&c->requests, &walk.x->window);
}

/* An event of `result` bytes, or a failure, whose bytes are not read. For recvmmsg and sendmmsg, moves the cursor past
 * this message, or resets it after a failure. */
GLOBAL_FUNC int pass_message(struct conn *c, __s32 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	bool sends = syscall_number(regs) == SYSCALL_SENDMMSG;
	struct walk_scratch *x;
	__u32 zero = 0;

	if (!c || (!sends && syscall_number(regs) != SYSCALL_RECVMMSG))
		return 0;
	x = sends ? bpf_map_lookup_elem(&send_scratch, &zero) : bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!x)
		return 0;
	if (sends && result < 0)
		c->sending.index = 0;
	else if (sends)
		user_bytes_next_message(&x->source, &c->sending, SYSCALL_ARG2(regs), SYSCALL_ARG3(regs), result);
	else if (result < 0)
		c->receiving.index = 0;
	else
		user_bytes_next_message(&x->source, &c->receiving, SYSCALL_ARG2(regs), SYSCALL_ARG3(regs),
					WHOLE_MESSAGE);
	return 0;
}

/* Returns whether recvmmsg or sendmmsg was ever used on the connection, so that pass_message is needed. */
static __always_inline bool has_messages(const struct conn *c)
{
	return c->sending.vector | c->receiving.vector;
}

/* A call failed or moved no bytes. */
static __always_inline void nothing_passed(struct conn *c, int result)
{
	if (!result || has_messages(c))
		pass_message(c, result);
}

/* Returns whether the parser takes what the server sends on a lost connection. */
static __always_inline bool lost_sent(struct conn *c, const struct call *call, __u32 length, __u32 result)
{
	struct message_cursor cursor = c->sending; /* c's own moves when the bytes are parsed or passed */
	struct walk_scratch *x;
	__u32 zero = 0;

	if (!(c->flags & CONN_ADOPTED))
		return false;
	x = bpf_map_lookup_elem(&send_scratch, &zero);
	if (!x)
		return false;
	if (find_bytes(&x->source, call, length, &cursor, result, true))
		return adopted_sent(c, NULL);
	return adopted_sent(c, &x->source);
}

/* `length` bytes were sent, after `gap` bytes without an event. `result` is as for received(). */
static __always_inline void sent(struct conn *c, const struct call *call, __u32 length, __u32 gap, __u32 result)
{
	struct walk walk = {c, NULL};
	enum http1_event event;
	__u32 zero = 0;
	int unknown;

	if (c->flags & (CONN_IGNORED | CONN_TUNNEL | CONN_LOST)) {
		if (c->flags & (CONN_IGNORED | CONN_TUNNEL) || !lost_sent(c, call, length, result)) {
			if (!result && has_messages(c))
				pass_message(c, length);
			return;
		}
	}
	/* an adopted connection's write_seq can be ahead of this event if it was read during this send */
	if (gap && !((__s32)gap < 0 && (c->flags & CONN_ADOPTED))) {
		if (!pass_unseen(&c->responses, gap, &event)) {
			conn_lose(c, UNDERCOUNT_GAP);
			return;
		}
		if (event == HTTP1_END)
			response_end_call(c);
	}
	/* Inside a body the bytes need not be read, whatever the call. */
	if (http1_skippable(&c->responses) >= length) {
		if (http1_skip(&c->responses, length) == HTTP1_END)
			response_end(c);
		if (!result && has_messages(c))
			pass_message(c, length);
		return;
	}
	walk.x = bpf_map_lookup_elem(&send_scratch, &zero);
	if (!walk.x)
		return;
	unknown = find_bytes(&walk.x->source, call, length, &c->sending, result, true);
	if (unknown) {
		if (!pass_unseen(&c->responses, length, &event))
			conn_lose(c, unknown);
		else if (event == HTTP1_END)
			response_end_call(c);
		return;
	}
	http1_open_window(&c->responses, &walk.x->window);
	bpf_loop(WALK_STEPS, responses_step, &walk, 0);
	if (walk.x->source.left)
		conn_lose(c, UNDERCOUNT_MEMORY);
	http1_close_window(&c->responses, &walk.x->window);
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
