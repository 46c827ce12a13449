/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Counts a segment of a path byte by byte, for identifier.h and secret.h. A segment has parts: runs of letters and
 * digits. The pairs of letters in a part decide whether it is random text or words: see letter_pairs.h.
 */
#ifndef MONITOR_HTTP1_SEGMENT_H
#define MONITOR_HTTP1_SEGMENT_H

#include "http1/letter_pairs.h"
#include "http1/secret_words.h"
#include "lib/pure.h"

enum byte_class {
	BYTE_OTHER,
	BYTE_DIGIT,
	BYTE_LOWER,
	BYTE_UPPER,
};

struct segment {
	__u64 hyphens; /* their positions below 64, one bit each */
	__u64 head;    /* the first eight bytes of the last part, the first one lowest */
	__u64 tail;    /* the last eight bytes, the last one lowest, letters in lower case */
	__u32 length;  /* bytes; an escape such as %20 is one */
	__u32 digits;
	__u32 letters;
	__u32 hex;	  /* hexadecimal digits */
	__u32 separators; /* bytes that are neither letter nor digit */
	__u32 dots;
	__u32 colons;
	__u32 lead;	   /* digits at the start */
	__u32 first;	   /* the first byte */
	__u32 random;	   /* bytes of the parts that are rather random than words */
	__s32 score;	   /* sum of their scores */
	__s32 whole;	   /* sum of the scores of all parts */
	__u32 part;	   /* bytes of the last part */
	__u32 part_before; /* the byte before it */
	__s32 part_score;  /* sum of its letter_pairs */
	__u32 part_digits; /* of its bytes, digits */
	__u32 part_hex;	   /* of its bytes, hexadecimal digits */
	__u32 part_safe;   /* of its bytes, those that Kubernetes takes for random names */
	__u32 part_turns;  /* places in it where a digit and a letter meet */
	__u32 turns;	   /* the same in all parts */
	__u32 code;	   /* of the last byte in letter_pairs */
	__u32 last_class;  /* enum byte_class of the last byte */
	__u32 run;	   /* digits in a row, up to here */
	__u32 date;	   /* enum segment_date of what precedes the last part */
	__u32 key_mark;	   /* enum key_word of the word that marks keys, if one has ended */
	__u32 key;	   /* length when a word that marks keys had ended */
	__s32 key_score;   /* the score then */
	__u32 flags;	   /* SEGMENT_* */
};

enum segment_date {
	DATE_NONE,
	DATE_YEAR,  /* "2024-" or "2024." */
	DATE_MONTH, /* "2024-05-" or "2024.05." */
};

#define SEGMENT_LEAD_WORD  1	/* a title follows the digits at the start, after "-" or "_" */
#define SEGMENT_AT	   2	/* "@" after something */
#define SEGMENT_HOST	   4	/* "." and a letter after that */
#define SEGMENT_PART_LOWER 8	/* the last part has a lower-case letter */
#define SEGMENT_LOWER	   16	/* some part has a lower-case letter */
#define SEGMENT_UPPER	   32	/* some part has an upper-case letter */
#define SEGMENT_ID	   64	/* an earlier part is an identifier */
#define SEGMENT_POD	   128	/* the part before the last one is the number of a job or the hash of a deployment */
#define SEGMENT_EXPECTS	   1024 /* the value has a name after which secrets are expected: "token=" */
#define SEGMENT_ODD	   2048 /* the value has a part that would be a secret where one is expected */
#define SEGMENT_SECRET	   4096
#define SEGMENT_NAMES	   8192 /* the last part is a word after which secrets are expected */
#define SEGMENT_EQUALS	   16384
#define SEGMENT_TUNED	   32768 /* begins with "ft:", as the names of fine-tuned models do */

/* From this length on, a part counts as random text. Shorter ones are versions and sizes: "8x7B", "A100". */
#define RANDOM_PART 5
/* From this score on, ten and more bytes are random text, and a key is a key. */
#define RANDOM_SCORE 10
/* The same without digits, for less than 16 bytes; for eight and nine bytes of one case, and of both cases. */
#define RANDOM_SCORE_LETTERS 30
#define RANDOM_SCORE_SHORT   36
#define RANDOM_SCORE_MIXED   24

/* The same for each byte of a part where a secret is expected. Words have less. */
#define ODD_SCORE -3

/* The letters and digits of random names in Kubernetes (k8s.io/apimachinery/pkg/util/rand), one bit each. */
#define SAFE_LETTERS                                                                                                   \
	(0x3ffffffU & ~(1U << 0 | 1U << 4 | 1U << 8 | 1U << 14 | 1U << 20 | 1U << 24)) /* without a, e, i, o, u and y  \
											*/
#define SAFE_DIGITS (1U << 2 | 1U << 4 | 1U << 5 | 1U << 6 | 1U << 7 | 1U << 8 | 1U << 9)

PURE_INLINE enum byte_class byte_class(char c)
{
	if (c >= '0' && c <= '9')
		return BYTE_DIGIT;
	if (c >= 'a' && c <= 'z')
		return BYTE_LOWER;
	return c >= 'A' && c <= 'Z' ? BYTE_UPPER : BYTE_OTHER;
}

PURE_INLINE bool segment_part_is_number(const struct segment *s)
{
	return s->part && s->part == s->part_digits;
}

/* Whether the last part is hexadecimal digits that change too often between letters and digits for a word. */
PURE_INLINE bool segment_ends_in_hash(const struct segment *s)
{
	if (s->part_hex != s->part || s->part_turns < 2 || s->part_digits < 2)
		return false;
	return s->part >= 8 || (s->part == 7 && !(s->flags & SEGMENT_UPPER));
}

/* Whether the last part is what Kubernetes appends to the name of a deployment. */
PURE_INLINE bool segment_ends_in_template_hash(const struct segment *s)
{
	return s->part_safe == s->part && s->part >= 8 && s->part <= 10 && s->part_digits < s->part;
}

/* "cron-28056411-krqmj", "web-7d4b9c6f5d-x2x8q" */
PURE_INLINE bool segment_ends_in_pod(const struct segment *s)
{
	return (s->flags & SEGMENT_POD) && s->part == 5 && s->part_safe == 5;
}

/* What precedes the next part if the last one ends before `next`. */
PURE_INLINE enum segment_date segment_date_after(const struct segment *s, __u32 next)
{
	__u32 century = (__u32)(s->tail >> 16 & 0xffff);

	if (!segment_part_is_number(s) || (next != '-' && next != '.'))
		return DATE_NONE;
	if (s->part == 4 && (century == ('2' << 8 | '0') || century == ('1' << 8 | '9')))
		return DATE_YEAR;
	return s->part == 2 && s->date == DATE_YEAR && s->part_before == next ? DATE_MONTH : DATE_NONE;
}

/* Whether a date with dots ends here: "logs-2024.10.16". */
PURE_INLINE bool segment_ends_in_dotted_date(const struct segment *s)
{
	return s->date == DATE_MONTH && s->part_before == '.' && s->part == 2 && s->part_digits == 2 && s->letters;
}

/* Whether the last part would be a secret where one is expected: text that is no word. */
PURE_INLINE bool segment_part_is_odd(const struct segment *s)
{
	bool mixed = (s->flags & SEGMENT_PART_LOWER) && (s->flags & SEGMENT_UPPER);

	if (s->part < 8 || s->part_digits == s->part)
		return false;
	if (s->part_turns > 3 || (!s->part_digits && !mixed))
		return s->part_score > ODD_SCORE * (__s32)s->part;
	return s->part_score > (s->part_turns > 2 ? -10 : 5);
}

/* Whether a key follows the word that marks keys. A name that begins so and has none, such as the locale "sk-SK", is
 * shorter or a word. */
PURE_INLINE bool segment_ends_in_key(const struct segment *s)
{
	__s32 score = s->score - s->key_score;

	if (s->key_mark == KEY_WORD_NONE)
		return false;
	if (s->key_mark == KEY_WORD_WEAK)
		return s->part >= 16 && score >= RANDOM_SCORE;
	if (s->length - s->key < 10)
		return false;
	return s->key_mark == KEY_WORD_SURE || s->part >= 16 || score > 0;
}

/* Whether the last part begins as a key without a word before it. */
PURE_INLINE bool segment_part_is_key(const struct segment *s)
{
	return s->part >= 16 && is_key_head(s->head);
}

/* Notes what the last part is, which ends before `next`. Kernels limit the stack of a chain of calls: this and the next
 * function must not need more than 32 bytes. */
GLOBAL_FUNC int segment_note_part(struct segment *s, __u32 next)
{
	if (!s)
		return 0;
	s->whole += s->part_score;
	s->turns += s->part_turns;
	if (s->part >= RANDOM_PART && s->part_score > 0) {
		s->score += s->part_score;
		s->random += s->part;
	}
	if (segment_part_is_odd(s))
		s->flags |= SEGMENT_ODD;
	if (segment_part_is_key(s))
		s->flags |= SEGMENT_SECRET;
	if (segment_ends_in_hash(s) || segment_ends_in_pod(s) || segment_ends_in_dotted_date(s))
		s->flags |= SEGMENT_ID;
	s->flags &= ~(SEGMENT_POD | SEGMENT_NAMES);
	if (next == '-' && (segment_ends_in_template_hash(s) || (segment_part_is_number(s) && s->part >= 8)))
		s->flags |= SEGMENT_POD;
	if (s->part == 2 && s->length == 2 && next == ':' && (s->tail & 0xffff) == ('f' << 8 | 't'))
		s->flags |= SEGMENT_TUNED;
	if (s->part >= 3 && !s->part_digits && precedes_secrets(s->tail, s->part))
		s->flags |= SEGMENT_NAMES;
	return 0;
}

/* Ends the last part, after segment_note_part. At a separator that joins words, it can mark keys. At any other, a value
 * ends, as in "key=value;". */
GLOBAL_FUNC int segment_end_value(struct segment *s, __u32 next)
{
	enum key_word mark;

	if (!s)
		return 0;
	if (next == '-' || next == '_' || next == '.' || next == '~') {
		mark = key_word(s->tail, s->part, next);
		if (mark == KEY_WORD_NONE && (s->flags & SEGMENT_NAMES))
			mark = KEY_WORD_WEAK;
		/* "sk_live_": the stronger word counts */
		if (mark <= s->key_mark)
			return 0;
		s->key_mark = mark;
		s->key = s->length + 1;
		s->key_score = s->score;
		return 0;
	}
	if (segment_ends_in_key(s) || (s->flags & (SEGMENT_EXPECTS | SEGMENT_ODD)) == (SEGMENT_EXPECTS | SEGMENT_ODD))
		s->flags |= SEGMENT_SECRET;
	if (next) {
		s->flags &= ~(SEGMENT_EXPECTS | SEGMENT_ODD);
		s->key_mark = KEY_WORD_NONE;
	}
	if (s->flags & SEGMENT_NAMES)
		s->flags |= SEGMENT_EXPECTS;
	return 0;
}

/* Ends the last part before `next`, which is no letter or digit; 0 at the end of the segment. */
PURE_INLINE void segment_end_part(struct segment *s, __u32 next)
{
	bool joins = next == '-' || next == '_' || next == '.' || next == '~';

	segment_note_part(s, next);
	/* no word that marks keys is that long or has that many digits */
	if (!joins || (s->flags & SEGMENT_NAMES) || (s->part <= 8 && s->part_digits < 4))
		segment_end_value(s, next);
}

PURE_INLINE void segment_add_other(struct segment *s, char c)
{
	enum segment_date date = segment_date_after(s, (__u8)c);

	segment_end_part(s, (__u8)c);
	if (c == '@' && s->length)
		s->flags |= SEGMENT_AT;
	else if (c == '=')
		s->flags |= SEGMENT_EQUALS;
	else if (c == '.')
		s->dots += 1;
	else if (c == ':')
		s->colons += 1;
	else if (c == '-' && s->length < 64)
		s->hyphens |= 1ULL << (s->length & 63);
	s->separators += 1;
	s->date = date;
	s->flags &= ~SEGMENT_PART_LOWER;
	s->head = 0;
	s->part = 0;
	s->part_before = (__u8)c;
	s->part_score = 0;
	s->part_digits = 0;
	s->part_hex = 0;
	s->part_safe = 0;
	s->part_turns = 0;
	s->code = 0;
	s->run = 0;
}

PURE_INLINE void segment_add_alphanumeric(struct segment *s, char c, enum byte_class kind)
{
	__u32 code = LETTER_PAIRS_DIGIT, before = s->last_class, lower = (__u8)c | 0x20;

	if (kind == BYTE_DIGIT) {
		s->lead += s->lead == s->length;
		s->digits += 1;
		s->part_digits += 1;
		s->run += 1;
		if (s->run > 8)
			s->flags |= SEGMENT_ID;
		s->hex += 1;
		s->part_hex += 1;
		s->part_safe += SAFE_DIGITS >> (c & 15) & 1;
	} else {
		code = c & 31;
		s->letters += 1;
		s->run = 0;
		s->hex += lower <= 'f';
		s->part_hex += lower <= 'f';
		if (kind == BYTE_LOWER)
			s->part_safe += SAFE_LETTERS >> (lower - 'a') & 1;
		/* not "lodash@4.17.21", "icon@2x.png" */
		if (s->part_before == '.' && !s->part && (s->flags & SEGMENT_AT) &&
		    (s->tail & 0xfff0ffff) != ('@' << 24 | '0' << 16 | 'x' << 8 | '.'))
			s->flags |= SEGMENT_HOST;
	}
	/* "24-7-support" has no title after its first number, and "2024-05-01-news" has */
	if (!s->part && s->lead && s->length == s->lead + 1 && (s->part_before == '-' || s->part_before == '_') &&
	    (kind != BYTE_DIGIT || s->lead >= 4))
		s->flags |= SEGMENT_LEAD_WORD;
	if (before == BYTE_LOWER && kind == BYTE_UPPER)
		s->part_score += LETTER_PAIRS_HUMP;
	else if (before == BYTE_UPPER && kind == BYTE_UPPER && (s->flags & SEGMENT_PART_LOWER))
		s->part_score += LETTER_PAIRS_CAPS;
	else
		s->part_score += letter_pair(s->code, code);
	s->part_turns += before != BYTE_OTHER && (before == BYTE_DIGIT) != (kind == BYTE_DIGIT);
	if (kind == BYTE_LOWER)
		s->flags |= SEGMENT_PART_LOWER | SEGMENT_LOWER;
	else if (kind == BYTE_UPPER)
		s->flags |= SEGMENT_UPPER;
	if (s->part < 8)
		s->head |= (__u64)(__u8)c << (8 * (s->part & 7));
	s->part += 1;
	s->code = code;
}

PURE_INLINE void segment_add(struct segment *s, char c)
{
	enum byte_class kind = byte_class(c);

	if (!s->length)
		s->first = (__u8)c;
	if (kind == BYTE_OTHER)
		segment_add_other(s, c);
	else
		segment_add_alphanumeric(s, c, kind);
	s->tail = s->tail << 8 | (kind == BYTE_UPPER ? (__u8)c | 0x20 : (__u8)c);
	s->last_class = kind;
	s->length += 1;
}

#endif
