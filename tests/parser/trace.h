/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Drives the parser over one input and records its events. The native tests, the fuzzer and the kernel test
 * (parser.bpf.c) compile this same source, so that results that differ can only differ because of where they ran.
 */
#ifndef MONITOR_TESTS_TRACE_H
#define MONITOR_TESTS_TRACE_H

/* This is C even when C++ includes it: suppress warnings about C++ style. */
#pragma GCC system_header

#include "http1/parser.h"
#include "http1/path_fold.h"

#define TRACE_INPUT 65536 /* maximum bytes of an input; a power of two */
#define TRACE_EVENTS 128  /* maximum events recorded; further ones are only counted */

/* Bits of trace_input.options. */
#define TRACE_RESPONSES 1 /* the bytes are responses, to requests with `method` */
#define TRACE_FOLD 2      /* fold identifiers in paths */
#define TRACE_SECRETS 8   /* with TRACE_FOLD: only what can be a secret */
#define TRACE_NO_SKIP 4   /* parse bodies even where the parser allows skipping them */

struct trace_input {
  __u32 length;
  __u32 first; /* bytes of the first receive */
  __u32 piece; /* bytes of each receive after it */
  __u8 options;
  __u8 method; /* enum http1_method */
  __u16 padding;
  char bytes[TRACE_INPUT];
};

struct trace_event {
  __u8 event;     /* enum http1_event */
  __u8 delimiter; /* of a response's head: enum http1_delimiter */
  __u8 mode;      /* enum http1_mode after the event */
  __u8 captured;  /* bytes of `capture`; 0 unless capturing */
  __u16 status;
  __u16 flags; /* HTTP1_F_* */
  __u64 remaining;
  struct monitor_endpoint_key key; /* of a request line */
  char capture[HTTP1_CAPTURE];
};

struct trace {
  __u32 count; /* events in total, can exceed TRACE_EVENTS */
  __u32 position;
  __u32 receive_end;
  __u32 padding;
  struct http1_stream stream;
  struct monitor_endpoint_key key;
  struct fold fold;
  struct trace_event events[TRACE_EVENTS];
  struct trace_event last; /* the state at the end of the input */
};

struct trace_loop {
  struct trace* trace;
  const struct trace_input* input;
  struct http1_window* window;
};

PURE_INLINE void trace_note(struct trace* trace, struct trace_event* out, __u32 event, __u32 delimiter) {
  struct http1_stream* s = &trace->stream;

  out->event = (__u8)event;
  out->delimiter = (__u8)delimiter;
  out->mode = s->mode;
  out->status = s->status;
  out->flags = s->flags;
  out->remaining = s->remaining;
  out->captured = s->flags & HTTP1_F_CAPTURING ? s->captured : 0;
  for (int i = 0; i < HTTP1_CAPTURE; i += 8) store_word(out->capture + i, load_word(s->capture + i));
  out->key = trace->key;
}

GLOBAL_FUNC int trace_put(struct trace* trace, __u32 event, __u32 delimiter) {
  __u64 at;

  if (!trace) return 0;
  at = trace->count;
  trace->count += 1;
  if (at < TRACE_EVENTS) {
    barrier_var(at);
    trace_note(trace, &trace->events[at & (TRACE_EVENTS - 1)], event, delimiter);
  }
  return 0;
}

/* Does for the input's bytes what http1_fill does in the engine. */
PURE_INLINE enum http1_event trace_fill(struct trace_loop* loop) {
  struct trace* trace = loop->trace;
  struct http1_window* w = loop->window;
  struct http1_stream* s = &trace->stream;
  __u64 count = trace->receive_end - trace->position;
  __u64 skip, from, at;

  if (!count) return HTTP1_MORE;
  skip = http1_skippable(s);
  if (skip && !(loop->input->options & TRACE_NO_SKIP)) {
    if (count > skip) count = skip;
    trace->position += (__u32)count;
    return http1_skip(s, count);
  }
  http1_close_window(s, w);
  http1_open_window(s, w);
  if (count > HTTP1_FILL) count = HTTP1_FILL;
  from = trace->position & (TRACE_INPUT - 1);
  at = w->end & 255;
#ifdef __bpf__
  barrier_var(at);
  barrier_var(count);
  at &= 255;
  if (count > HTTP1_FILL || bpf_probe_read_kernel(w->bytes + at, count, loop->input->bytes + from)) return HTTP1_MORE;
#else
  memcpy(w->bytes + at, loop->input->bytes + from, count);
#endif
  w->end += (__u32)count;
  trace->position += (__u32)count;
  return HTTP1_AGAIN;
}

/* Does what name_endpoint does in the engine. */
PURE_INLINE void trace_fold(struct trace* trace, const struct http1_window* w, __u32 options) {
  __u32 mode = w->request_line & HTTP1_LINE_MAY_FOLD ? FOLD_IDENTIFIERS : FOLD_UNMARKED;

  if (options & TRACE_SECRETS) mode = FOLD_SECRETS;
  if ((options & TRACE_FOLD) && (w->request_line & HTTP1_LINE_HAS_TEXT)) path_fold(&trace->key, &trace->fold, w, mode);
}

static int trace_step(__u32 i, struct trace_loop* loop) {
  bool responses = loop->input->options & TRACE_RESPONSES;
  enum http1_delimiter delimiter = HTTP1_INTERIM;
  struct http1_window* w = loop->window;
  struct trace* trace = loop->trace;
  int event = HTTP1_AGAIN;

  (void)i;
  if (w->scan >= w->end) {
    event = trace_fill(loop);
    if (event == HTTP1_MORE) return 1;
  }
  /* The constant argument selects which half of the parser the compiler keeps, as in the engine. */
  if (event == HTTP1_AGAIN && responses)
    event = http1_step(&trace->stream, w, &trace->key, true);
  else if (event == HTTP1_AGAIN)
    event = http1_step(&trace->stream, w, &trace->key, false);
  if (event & HTTP1_REQUEST_LINE) {
    trace_fold(trace, w, loop->input->options);
    trace_put(trace, HTTP1_REQUEST_LINE, delimiter);
  }
  event &= ~(HTTP1_REQUEST_LINE | HTTP1_MORE);
  if (event == HTTP1_HEAD_COMPLETE && responses)
    delimiter = http1_response_body(&trace->stream, (enum http1_method)loop->input->method);
  if (event) trace_put(trace, (__u32)event, delimiter);
  return 0;
}

static int trace_receive(__u32 i, struct trace_loop* loop) {
  const struct trace_input* input = loop->input;
  struct trace* trace = loop->trace;
  __u32 left = input->length - trace->position;
  __u32 count = i ? input->piece : input->first;

  if (!left) return 1;
  trace->receive_end = trace->position + (count < left ? count : left);
  http1_open_window(&trace->stream, loop->window);
  repeat(1U << 20, trace_step, loop);
  http1_close_window(&trace->stream, loop->window);
  return 0;
}

/* Runs the parser over the input. The caller zeroes `trace`; the content of the window does not matter. */
PURE_INLINE void trace_run(const struct trace_input* input, struct http1_window* window, struct trace* trace) {
  struct trace_loop loop = {trace, input, window};

  if (input->options & TRACE_RESPONSES) trace->stream.flags = HTTP1_F_RESPONSE;
  repeat(TRACE_INPUT + 1, trace_receive, &loop);
  trace_note(trace, &trace->last, HTTP1_MORE, HTTP1_INTERIM);
}

#endif
