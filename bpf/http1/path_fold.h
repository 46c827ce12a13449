/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Folds the identifiers in a path, so that /users/42 and /users/43 are one endpoint /users/{id}. Where paths are shown
 * as sent, it folds only what can be a secret. It reads the path from the window and not from the key, where a long one
 * is cut already: the words after a long identifier stay. If the folded path is still too long, long names are folded
 * too, so that its end stays, which says what is done: ":generateContent", "/query".
 */
#ifndef MONITOR_PATH_FOLD_H
#define MONITOR_PATH_FOLD_H

#include "http1/identifier.h"
#include "http1/request_line.h"
#include "http1/stream.h"
#include "lib/pure.h"

enum fold_mode {
	FOLD_IDENTIFIERS, /* identifiers and secrets become "{id}" */
	FOLD_UNMARKED,	  /* the same for a path without HTTP1_LINE_MAY_FOLD, or no path: secrets alone can be in it */
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
	__u32 tight;	/* long names are folded too */
	__u32 colon;	/* the current segment follows ":" */
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

PURE_INLINE void fold_start_segment(struct fold *f, bool colon)
{
	f->start = f->to;
	f->colon = colon;
	f->escaped = 0;
	__builtin_memset(&f->segment, 0, sizeof(f->segment));
}

/* Returns whether the segment is folded where identifiers are. "v2:0" is the version of a model. */
PURE_INLINE bool fold_is_identifier(const struct fold *f, bool last)
{
	if (f->colon && f->segment.length <= 2)
		return false;
	return segment_is_identifier(&f->segment) || (f->tight && !last && segment_is_long_name(&f->segment));
}

PURE_INLINE void fold_end_segment(struct fold *f, bool last)
{
	bool secrets = f->mode == FOLD_SECRETS;
	__u64 name;

	if (!segment_is_secret(&f->segment) && !(f->expects && segment_is_short_secret(&f->segment)) &&
	    (f->mode != FOLD_IDENTIFIERS || !fold_is_identifier(f, last))) {
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
		fold_end_segment(f, true);
		return 1;
	}
	if (fold_ends_segment(f, c, WINDOW_BYTE(w, f->from + 1))) {
		fold_end_segment(f, false);
		fold_put(f, c);
		fold_start_segment(f, c == ':');
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

/* Folds the path of the request line into `f`, and long names too if `tight`. Returns whether the path did not fit.
 * Kernels limit the stack of a chain of calls, and this is in the longest one: it must not need more than 32 bytes. */
GLOBAL_FUNC int fold_run(struct fold *f, const struct http1_window *w, __u32 mode, bool tight)
{
	struct fold_loop loop = {f, w};

	if (!f || !w)
		return 0;
	f->mode = mode;
	f->tight = tight;
	f->from = w->path;
	f->to = 0;
	f->overflow = 0;
	f->complete = 0;
	f->expects = 0;
	fold_start_segment(f, false);
	repeat(HTTP1_LINE_PREFIX + 1, fold_step, &loop);
	return f->overflow;
}

/* Replaces the key's path by the folded one. */
GLOBAL_FUNC int fold_store(struct monitor_endpoint_key *key, const struct fold *f)
{
	if (!key || !f)
		return 0;
	key->flags &= ~ENDPOINT_PATH_CUT;
	if (f->overflow || !f->complete)
		key->flags |= ENDPOINT_PATH_CUT;
	key->path_length = (__u8)f->to;
	for (__u32 i = 0; i < MONITOR_PATH_SIZE; i += 8)
		store_word(key->path + i, cut_word(load_word(f->path + i), (__s64)f->to - i));
	return 1;
}

/*
 * Replaces the key's path by the folded path of the request line that a step has just reported (HTTP1_REQUEST_LINE). A
 * path that does not fit into the key, or whose end was not read, is cut and gets the flag ENDPOINT_PATH_CUT. Callers
 * skip targets without HTTP1_LINE_HAS_TEXT, and fold only secrets in those without HTTP1_LINE_HAS_PATH.
 */
PURE_INLINE void path_fold(struct monitor_endpoint_key *key, struct fold *f, const struct http1_window *w, __u32 mode)
{
	if (fold_run(f, w, mode, false) && mode == FOLD_IDENTIFIERS)
		fold_run(f, w, mode, true);
	fold_store(key, f);
}

#endif
