/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Folds the identifiers in a path, so that /users/42 and /users/43 are one endpoint /users/{id}. Where paths are shown
 * as sent, it folds only what can be a secret. It reads the path from the window and not from the key, where a long one
 * is cut already: the words after a long identifier stay. If the folded path is still too long, long names are folded
 * too, and then segments in the middle become "{path}", so that its end stays, which says what is done:
 * ":generateContent", "/query".
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

enum fold_stage {
	FOLD_ALL,
	FOLD_TIGHT, /* long names are folded too */
	FOLD_REST,  /* segments in the middle become "{path}" */
};

/* Scratch of one fold. It need not be zeroed: path_fold sets what it reads. `path` has room for a word past its end. */
struct fold {
	__u32 first;	/* where the path begins in the window */
	__u32 from;	/* next byte of the window */
	__u32 to;	/* next byte of `path` */
	__u32 start;	/* where the current segment begins in `path` */
	__u32 whole;	/* where the text after the last "/" begins in `path` */
	__u32 last;	/* the same in the window */
	__u32 kept;	/* the last "/" in `path` that stays where segments become "{path}" */
	__u32 overflow; /* bytes did not fit into `path` */
	__u32 full;	/* nothing more fits: earlier segments did not */
	__u32 complete; /* the end of the path was found */
	__u32 mode;	/* enum fold_mode */
	__u32 expects;	/* a segment was passed after which secrets are shorter */
	__u32 stage;	/* enum fold_stage */
	__u32 before;	/* the byte before the current segment */
	__u32 flags;	/* FOLD_* */
	__u32 colons;	/* since the last "/" */
	struct segment segment;
	char path[128 + 8];
};

/* How much of a path stays before "/{path}/": nearly as much as the rest then has. */
#define FOLD_KEPT 56

#define FOLD_ADDRESS	1  /* since the last "/" there were only hexadecimal digits and separators */
#define FOLD_DIGIT	2  /* one of them was a digit */
#define FOLD_TWO_COLONS 4  /* "::" was among them */
#define FOLD_TUNED	8  /* the text after the last "/" begins with "ft:" */
#define FOLD_DOI	16 /* the segment before is the prefix of a DOI */

struct fold_loop {
	struct fold *f;
	const struct http1_window *w;
};

PURE_INLINE void fold_put(struct fold *f, char c)
{
	__u64 at = f->to;

	if (at >= MONITOR_PATH_SIZE || f->full) {
		f->overflow = 1;
		return;
	}
	barrier_var(at);
	f->path[at & 127] = c;
	f->to += 1;
}

PURE_INLINE void fold_start_segment(struct fold *f, char before)
{
	f->start = f->to;
	f->before = (__u8)before;
	__builtin_memset(&f->segment, 0, sizeof(f->segment));
	if (before != '/')
		return;
	f->whole = f->to;
	if (f->to && f->to <= FOLD_KEPT + 1 && !f->full)
		f->kept = f->to - 1;
	f->last = f->from;
	f->flags = FOLD_ADDRESS | (f->flags & FOLD_DOI);
	f->colons = 0;
}

/* Returns whether the segment is folded where identifiers are. "v2:0" is the version of a model. A literal or a pair in
 * parentheses is one of OData: "Products('x')", "Items(Id=7)". */
PURE_INLINE bool fold_is_identifier(const struct fold *f, bool last)
{
	if (f->before == ':' && f->segment.length <= 2)
		return false;
	if (f->before == '(' && (f->segment.letters || f->segment.digits) &&
	    (f->segment.first == '\'' || (f->segment.flags & SEGMENT_EQUALS)))
		return true;
	return segment_is_identifier(&f->segment) || (f->flags & FOLD_DOI) ||
	       (f->stage != FOLD_ALL && !last && segment_is_long_name(&f->segment));
}

/* Replaces what was put from `start` on. */
PURE_INLINE void fold_replace(struct fold *f, __u32 start)
{
	bool secrets = f->mode == FOLD_SECRETS;
	__u64 name = secrets ? WORD('{', 's', 'e', 'c', 'r', 'e', 't', '}') : WORD('{', 'i', 'd', '}', 0, 0, 0, 0);

	f->to = start;
	/* the name replaces the bytes that did not fit, and is never cut */
	f->full |= start + (secrets ? 8 : 4) > MONITOR_PATH_SIZE;
	f->overflow = f->full;
	ROLLED
	for (int i = 0; i < 8 && name; ++i, name >>= 8)
		fold_put(f, (char)name);
}

/* Notes what the segment says of the text since the last "/", and returns whether all of it is one identifier that has
 * colons: the address of a host or an interface, a fine-tuned model. */
PURE_INLINE bool fold_ends_whole(struct fold *f, char next)
{
	const struct segment *s = &f->segment;

	f->colons += s->colons;
	if (s->hex + s->separators != s->length)
		f->flags &= ~FOLD_ADDRESS;
	if (s->digits)
		f->flags |= FOLD_DIGIT;
	if (next == ':' && s->length == 2 && (s->tail & 0xffff) == ('f' << 8 | 't') && f->start == f->whole)
		f->flags |= FOLD_TUNED;
	if (next != '/')
		return false;
	if ((f->flags & FOLD_TUNED) && f->colons > 2)
		return true;
	return (f->flags & FOLD_ADDRESS) && (f->flags & FOLD_DIGIT) &&
	       ((f->flags & FOLD_TWO_COLONS) || f->colons == 5 || f->colons == 7);
}

/* A number, a word, or a part that is too short for any rule: most segments are one of these. */
PURE_INLINE bool fold_is_simple(const struct segment *s)
{
	if (s->separators || s->part >= 16)
		return false;
	return s->part < 7 || s->part == s->part_digits ||
	       (!s->part_digits && s->part_score <= ODD_SCORE * (__s32)s->part);
}

/* Returns whether the segment is folded. */
PURE_INLINE bool fold_decides(struct fold *f, bool last)
{
	const struct segment *s = &f->segment;

	if (fold_is_simple(s)) {
		if (!s->part_digits)
			segment_note_part(&f->segment, 0);
		if (f->mode != FOLD_IDENTIFIERS || (f->before == ':' && s->part <= 2))
			return false;
		return segment_part_is_number(s) || (f->flags & FOLD_DOI);
	}
	segment_end_part(&f->segment, 0);
	return segment_is_secret(s) || (f->expects && segment_is_short_secret(s)) ||
	       (f->mode == FOLD_IDENTIFIERS && fold_is_identifier(f, last));
}

/* Ends the segment before `next`: "/", ":" or a parenthesis. */
PURE_INLINE void fold_end_segment(struct fold *f, char next, bool last)
{
	bool folds = fold_decides(f, last), whole = fold_ends_whole(f, next) && f->mode == FOLD_IDENTIFIERS;

	f->flags &= ~FOLD_DOI;
	/* "10.1000" */
	if (f->segment.dots == 1 && next == '/' && f->segment.lead == 2 && f->segment.separators == 1 &&
	    f->segment.part_digits >= 4 && !f->segment.letters)
		f->flags |= FOLD_DOI;
	if (folds || whole) {
		fold_replace(f, whole ? f->whole : f->start);
		return;
	}
	f->full |= f->overflow;
	f->expects |= segment_precedes_secrets(&f->segment);
}

/* A segment ends at "/". It also ends at ":" between a word or number and a word, as in "/models/42:predict" or
 * "/blobs/sha256:4f…", but not within a time or a name of Matrix, and at parentheses, as in "/Products(42)". */
PURE_INLINE bool fold_ends_segment(const struct fold *f, const struct http1_window *w, char c)
{
	char next;

	if (c != ':')
		return c == '/' || c == '(' || c == ')';
	if (segment_has_sigil(&f->segment))
		return false;
	next = WINDOW_BYTE(w, f->from);
	return byte_class(next) >= BYTE_LOWER ||
	       (byte_class(next) == BYTE_DIGIT && !f->segment.lead && f->segment.run != 2);
}

PURE_INLINE __u32 fold_hex_value(char c)
{
	__u32 letter = ((__u8)c | 0x20) - 'a';

	if (c >= '0' && c <= '9')
		return c - '0';
	return letter < 6 ? letter + 10 : 16;
}

/* Begins a stage. */
GLOBAL_FUNC int fold_begin(struct fold *f, enum fold_stage stage)
{
	__u64 name = WORD('/', '{', 'p', 'a', 't', 'h', '}', '/');

	if (!f)
		return 0;
	f->stage = stage;
	f->overflow = 0;
	f->full = 0;
	f->flags = 0;
	if (stage == FOLD_REST) {
		f->from = f->last;
		f->to = f->kept;
		ROLLED
		for (__u32 i = 0; i < sizeof(name); ++i, name >>= 8)
			fold_put(f, (char)name);
	} else {
		f->from = f->first;
		f->to = 0;
		f->kept = 0;
		f->expects = 0;
	}
	fold_start_segment(f, '/');
	return 0;
}

/* The path has ended. Returns 1, or begins the next stage and returns 0 if the path did not fit. */
PURE_INLINE int fold_end(struct fold *f, const struct http1_window *w)
{
	f->complete = f->from < w->path_end || !(w->request_line & HTTP1_LINE_LONG);
	fold_end_segment(f, '/', true);
	if (!f->overflow || f->mode != FOLD_IDENTIFIERS || f->stage == FOLD_REST)
		return 1;
	/* the end is unknown, or there is no middle */
	if (f->stage == FOLD_TIGHT && (!f->complete || f->whole <= f->kept + 1))
		return 1;
	fold_begin(f, f->stage == FOLD_ALL ? FOLD_TIGHT : FOLD_REST);
	return 0;
}

static int fold_step(__u32 i, struct fold_loop *loop)
{
	const struct http1_window *w = loop->w;
	struct fold *f = loop->f;
	char c = WINDOW_BYTE(w, f->from), next;
	__u32 high, low;

	if (f->from >= w->path_end || http1_ends_path(c))
		return fold_end(f, w);
	f->from += 1;
	if (c == ':' && (f->segment.tail & 0xff) == ':')
		f->flags |= FOLD_TWO_COLONS;
	if (fold_ends_segment(f, w, c)) {
		fold_end_segment(f, c, false);
		fold_put(f, c);
		f->colons += c == ':';
		fold_start_segment(f, c);
		return 0;
	}
	fold_put(f, c);
	if (c == '%') {
		/* what an escape stands for */
		next = WINDOW_BYTE(w, f->from);
		high = fold_hex_value(next);
		low = fold_hex_value(WINDOW_BYTE(w, f->from + 1));
		if (high < 16 && low < 16 && f->from + 2 <= w->path_end) {
			fold_put(f, next);
			fold_put(f, WINDOW_BYTE(w, f->from + 1));
			f->from += 2;
			c = (char)(high << 4 | low);
			if (c == ':' && (f->segment.tail & 0xff) == ':')
				f->flags |= FOLD_TWO_COLONS;
		}
	}
	segment_add(&f->segment, c);
	return 0;
}

/* Folds the path of the request line into `f`. Kernels limit the stack of a chain of calls, and this is in the longest
 * one: it must not need more than 32 bytes. */
GLOBAL_FUNC int fold_run(struct fold *f, const struct http1_window *w, __u32 mode)
{
	struct fold_loop loop = {f, w};

	if (!f || !w)
		return 0;
	f->first = w->path;
	f->mode = mode;
	f->complete = 0;
	fold_begin(f, FOLD_ALL);
	repeat(3 * (HTTP1_LINE_PREFIX + 1), fold_step, &loop);
	return 0;
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
	fold_run(f, w, mode);
	fold_store(key, f);
}

#endif
