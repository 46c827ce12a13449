/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Folds the identifiers in a path, so that /users/42 and /users/43 are one endpoint /users/{id}. Where paths are shown
 * as sent, it folds only what can be a secret. It reads the path from the window and not from the key, where a long one
 * is cut already: the words after a long identifier stay.
 */
#ifndef MONITOR_PATH_FOLD_H
#define MONITOR_PATH_FOLD_H

#include "http1/identifier.h"
#include "http1/request_line.h"
#include "http1/stream.h"
#include "lib/pure.h"

enum fold_mode {
	FOLD_IDENTIFIERS, /* identifiers and secrets become "{id}" */
	FOLD_UNMARKED,	  /* the same for a path without HTTP1_LINE_MAY_FOLD: secrets alone can be in it */
	FOLD_SECRETS,	  /* only secrets are folded, and become "{secret}" */
};

/* Scratch of one fold. It need not be zeroed: path_fold sets what it reads. `path` has room for a word past its end. */
struct fold {
	__u32 from;	/* next byte of the window */
	__u32 to;	/* next byte of `path` */
	__u32 start;	/* where the current segment begins in `path` */
	__u32 escaped;	/* bytes of an escape that still follow */
	__u32 overflow; /* bytes did not fit into `path` */
	__u32 complete; /* the end of the path was found */
	__u32 mode;	/* enum fold_mode */
	__u32 expects;	/* a segment was passed after which secrets are shorter */
	struct segment segment;
	char path[128 + 8];
};

struct fold_loop {
	struct fold *f;
	const struct http1_window *w;
};

PURE_INLINE void fold_put(struct fold *f, char c)
{
	__u64 at = f->to;

	if (at >= MONITOR_PATH_SIZE) {
		f->overflow = 1;
		return;
	}
	barrier_var(at);
	f->path[at & 127] = c;
	f->to += 1;
}

PURE_INLINE void fold_start_segment(struct fold *f)
{
	f->start = f->to;
	f->escaped = 0;
	__builtin_memset(&f->segment, 0, sizeof(f->segment));
}

PURE_INLINE void fold_end_segment(struct fold *f)
{
	bool secrets = f->mode == FOLD_SECRETS;
	__u64 name;

	if (!segment_is_secret(&f->segment) && !(f->expects && segment_is_short_secret(&f->segment)) &&
	    (f->mode != FOLD_IDENTIFIERS || !segment_is_identifier(&f->segment))) {
		f->expects |= segment_precedes_secrets(&f->segment);
		return;
	}
	f->to = f->start;
	/* the name replaces the bytes that did not fit; if earlier segments did not fit, neither does "{" */
	f->overflow = 0;
	name = secrets ? WORD('{', 's', 'e', 'c', 'r', 'e', 't', '}') : WORD('{', 'i', 'd', '}', 0, 0, 0, 0);
	ROLLED
	for (int i = 0; i < 8 && name; ++i, name >>= 8)
		fold_put(f, (char)name);
}

/* A segment ends at "/". It also ends at ":" between a word or number and a word, as in "/models/42:predict" or
 * "/blobs/sha256:4f…", but not within a time. */
PURE_INLINE bool fold_ends_segment(const struct fold *f, char c, char next)
{
	if (c != ':')
		return c == '/';
	return byte_class(next) >= BYTE_LOWER || (byte_class(next) == BYTE_DIGIT && !f->segment.lead);
}

static int fold_step(__u32 i, struct fold_loop *loop)
{
	const struct http1_window *w = loop->w;
	struct fold *f = loop->f;
	char c = WINDOW_BYTE(w, f->from);

	if (f->from >= w->path_end || http1_ends_path(c)) {
		f->complete = f->from < w->path_end || !(w->request_line & HTTP1_LINE_LONG);
		fold_end_segment(f);
		return 1;
	}
	if (fold_ends_segment(f, c, WINDOW_BYTE(w, f->from + 1))) {
		fold_end_segment(f);
		fold_put(f, c);
		fold_start_segment(f);
	} else {
		fold_put(f, c);
		if (f->escaped) {
			f->escaped -= 1;
		} else {
			/* an escape counts as one separator, but %40 is the "@" of an e-mail address */
			f->escaped = c == '%' ? 2 : 0;
			if (c == '%' && WINDOW_BYTE(w, f->from + 1) == '4' && WINDOW_BYTE(w, f->from + 2) == '0')
				c = '@';
			segment_add(&f->segment, c);
		}
	}
	f->from += 1;
	return 0;
}

/*
 * Replaces the key's path by the folded path of the request line that a step has just reported (HTTP1_REQUEST_LINE). A
 * path that does not fit into the key, or whose end was not read, is cut and gets the flag ENDPOINT_PATH_CUT. Callers
 * skip targets without HTTP1_LINE_HAS_PATH.
 */
GLOBAL_FUNC int path_fold(struct monitor_endpoint_key *key, struct fold *f, const struct http1_window *w, __u32 mode)
{
	struct fold_loop loop = {f, w};

	if (!key || !f || !w)
		return 0;
	f->from = w->path;
	f->to = 0;
	f->overflow = 0;
	f->complete = 0;
	f->mode = mode;
	f->expects = 0;
	fold_start_segment(f);
	repeat(HTTP1_LINE_PREFIX + 1, fold_step, &loop);
	key->flags &= ~ENDPOINT_PATH_CUT;
	if (f->overflow || !f->complete)
		key->flags |= ENDPOINT_PATH_CUT;
	key->path_length = (__u8)f->to;
	for (__u32 i = 0; i < MONITOR_PATH_SIZE; i += 8)
		store_word(key->path + i, cut_word(load_word(f->path + i), (__s64)f->to - i));
	return 1;
}

#endif
