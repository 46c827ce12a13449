/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Folds identifiers in a path, so that /users/42 and /users/43 are one endpoint /users/{id}. A segment is an identifier
 * if it is all digits, a UUID (RFC 9562 §4), or at least 16 hexadecimal digits, at least one of them decimal.
 */
#ifndef MONITOR_PATH_FOLD_H
#define MONITOR_PATH_FOLD_H

#include "lib/pure.h"

#define FOLD_HEX_LEAST 16
#define FOLD_UUID      36
/* Positions of the hyphens in a UUID, one bit each. */
#define FOLD_UUID_HYPHENS (1ULL << 8 | 1ULL << 13 | 1ULL << 18 | 1ULL << 23)

/* Scratch of one fold. It need not be zeroed: path_fold sets what it reads. `path` has room for a word past its end. */
struct fold {
	__u32 from;    /* next byte of the key's path */
	__u32 to;      /* next byte of `path` */
	__u32 segment; /* where the current segment begins in `path` */
	__u32 length;  /* of the segment: bytes, digits and hexadecimal digits */
	__u32 digits;
	__u32 hex;
	__u64 hyphens; /* positions of the segment's hyphens below 64, one bit each */
	__u32 overflow;
	__u32 padding;
	char path[128 + 8];
};

struct fold_loop {
	struct fold *f;
	const struct monitor_endpoint_key *key;
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

PURE_INLINE void fold_end_segment(struct fold *f)
{
	bool all_digits = f->length && f->digits == f->length;
	bool long_hex = f->length >= FOLD_HEX_LEAST && f->hex == f->length && f->digits;
	bool uuid = f->length == FOLD_UUID && f->hex == FOLD_UUID - 4 && f->hyphens == FOLD_UUID_HYPHENS;

	if (all_digits || long_hex || uuid) {
		f->to = f->segment;
		/* "{id}" replaces the bytes that did not fit; if earlier segments did not fit, neither does "{" */
		f->overflow = 0;
		fold_put(f, '{');
		fold_put(f, 'i');
		fold_put(f, 'd');
		fold_put(f, '}');
	}
}

static int fold_step(__u32 i, struct fold_loop *loop)
{
	const struct monitor_endpoint_key *key = loop->key;
	struct fold *f = loop->f;
	__u64 at = f->from;
	char c;

	if (at >= key->path_length || at >= MONITOR_PATH_SIZE) {
		fold_end_segment(f);
		return 1;
	}
	barrier_var(at);
	if (at >= MONITOR_PATH_SIZE)
		return 1;
	c = key->path[at];
	f->from += 1;
	if (c == '/') {
		fold_end_segment(f);
		fold_put(f, c);
		f->segment = f->to;
		f->length = 0;
		f->digits = 0;
		f->hex = 0;
		f->hyphens = 0;
		return 0;
	}
	if (c >= '0' && c <= '9') {
		f->digits += 1;
		f->hex += 1;
	} else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f') {
		f->hex += 1;
	} else if (c == '-' && f->length < 64) {
		f->hyphens |= 1ULL << (f->length & 63);
	}
	f->length += 1;
	fold_put(f, c);
	return 0;
}

/* Folds the key's path in place. A path that no longer fits is cut and gets the flag ENDPOINT_PATH_CUT. Callers may
 * skip paths without a digit, because nearly every identifier has one; a UUID without a digit then stays as it is. */
GLOBAL_FUNC int path_fold(struct monitor_endpoint_key *key, struct fold *f)
{
	struct fold_loop loop = {f, key};

	if (!key || !f)
		return 0;
	f->from = 0;
	f->to = 0;
	f->segment = 0;
	f->length = 0;
	f->digits = 0;
	f->hex = 0;
	f->hyphens = 0;
	f->overflow = 0;
	repeat(MONITOR_PATH_SIZE + 1, fold_step, &loop);
	if (f->overflow)
		key->flags |= ENDPOINT_PATH_CUT;
	key->path_length = (__u8)f->to;
	for (__u32 i = 0; i < MONITOR_PATH_SIZE; i += 8)
		store_word(key->path + i, cut_word(load_word(f->path + i), (__s64)f->to - i));
	return 1;
}

#endif
