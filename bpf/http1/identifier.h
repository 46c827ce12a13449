/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Decides whether a segment of a path is an identifier rather than a word, and whether it can be a secret: an API key,
 * a token, an e-mail address. Segments are counted byte by byte; the counts of the whole segment and of its last part
 * (after the last byte that is neither letter nor digit) decide.
 *
 * Random text differs from words in where its classes of bytes change. Words and names change rarely and in few ways:
 * "oauth2", "gpt-4o", "getUserById", "v1beta1". The thresholds below were chosen on 37 kinds of generated identifiers
 * and 8,000 segments of published APIs and file names: of usual kinds with 20 and more characters they miss less than
 * one in a hundred, and they take about one name in a thousand for an identifier.
 */
#ifndef MONITOR_HTTP1_IDENTIFIER_H
#define MONITOR_HTTP1_IDENTIFIER_H

#include "lib/pure.h"

enum byte_class {
	BYTE_OTHER,
	BYTE_DIGIT,
	BYTE_LOWER,
	BYTE_UPPER,
};

struct segment {
	__u64 hyphens; /* their positions below 64, one bit each */
	__u64 head;    /* the first eight bytes, the first one lowest */
	__u64 tail;    /* the last eight bytes, the last one lowest, letters in lower case */
	__u32 length;  /* bytes; an escape such as %20 is one */
	__u32 digits;
	__u32 letters;
	__u32 hex;	  /* hexadecimal digits */
	__u32 separators; /* bytes that are neither letter nor digit */
	__u32 dots;
	__u32 lead;	      /* digits at the start */
	__u32 irregular;      /* places that are rare in words: see segment_add */
	__u32 part;	      /* bytes of the last part */
	__u32 part_digits;    /* of these, digits */
	__u32 part_irregular; /* irregular places in it */
	__u32 part_middle;    /* letters that follow a digit in it */
	__u32 part_hex;	      /* hexadecimal digits in it */
	__u32 run;	      /* digits in a row, up to here */
	__u32 consonants;     /* different consonants in a row, up to here */
	__u32 flags;	      /* SEGMENT_* */
	__u32 last;	      /* the last byte, letters in lower case */
	__u32 last_class;     /* its enum byte_class */
};

#define SEGMENT_LEAD_WORD  1  /* "-" or "_" follows the digits at the start */
#define SEGMENT_AT	   2  /* "@" after something */
#define SEGMENT_HOST	   4  /* "." after that */
#define SEGMENT_JOINT	   8  /* "-" or "_" precedes the last part */
#define SEGMENT_PART_LOWER 16 /* the last part has a lower-case letter */
#define SEGMENT_UPPER	   32 /* some part has an upper-case letter */
#define SEGMENT_RUN	   64 /* more digits in a row than a date has, or a hash before the last part */

#define IDENTIFIER_ULID 26
#define IDENTIFIER_UUID 36
/* From this length on, random text can be a secret (128 bits in hexadecimal digits). */
#define SECRET_LENGTH 32
/* The same after a word such as "reset". */
#define SHORT_SECRET_LENGTH 8
/* Positions of the hyphens in a UUID, one bit each (RFC 9562 §4). */
#define IDENTIFIER_UUID_HYPHENS (1ULL << 8 | 1ULL << 13 | 1ULL << 18 | 1ULL << 23)

/* One bit for each letter: a, e, i, o, u and y. */
#define VOWELS (1U << 0 | 1U << 4 | 1U << 8 | 1U << 14 | 1U << 20 | 1U << 24)

PURE_INLINE enum byte_class byte_class(char c)
{
	if (c >= '0' && c <= '9')
		return BYTE_DIGIT;
	if (c >= 'a' && c <= 'z')
		return BYTE_LOWER;
	return c >= 'A' && c <= 'Z' ? BYTE_UPPER : BYTE_OTHER;
}

/* Whether the last part is hexadecimal digits that are too irregular for a word. */
PURE_INLINE bool segment_ends_in_hash(const struct segment *s)
{
	return s->part >= 8 && s->part_hex == s->part && s->part_digits >= 2 && s->part_irregular >= 2;
}

PURE_INLINE void segment_add_other(struct segment *s, char c)
{
	bool joins = c == '-' || c == '_';

	if (segment_ends_in_hash(s))
		s->flags |= SEGMENT_RUN;

	if (s->lead && s->lead == s->length && joins)
		s->flags |= SEGMENT_LEAD_WORD;
	if (c == '@' && s->length)
		s->flags |= SEGMENT_AT;
	if (c == '.') {
		s->dots += 1;
		if (s->flags & SEGMENT_AT)
			s->flags |= SEGMENT_HOST;
	}
	if (c == '-' && s->length < 64)
		s->hyphens |= 1ULL << (s->length & 63);
	s->separators += 1;
	s->flags = (s->flags & ~(SEGMENT_JOINT | SEGMENT_PART_LOWER)) | (joins ? SEGMENT_JOINT : 0);
	s->part = 0;
	s->part_digits = 0;
	s->part_irregular = 0;
	s->part_middle = 0;
	s->part_hex = 0;
	s->run = 0;
	s->consonants = 0;
	s->last = 0;
}

/* Adds a letter or digit. A place is irregular if a digit and a letter meet, if an upper-case letter follows a
 * lower-case one, or another upper-case one in a part that has lower case too, or if it is at least the fifth consonant
 * in a row. */
PURE_INLINE void segment_add_alphanumeric(struct segment *s, char c, enum byte_class kind)
{
	__u32 lower = (__u8)c | 0x20, irregular = 0, before = s->last_class;

	if (kind == BYTE_DIGIT) {
		s->lead += s->lead == s->length;
		s->digits += 1;
		s->part_digits += 1;
		s->run += 1;
		if (s->run > 8)
			s->flags |= SEGMENT_RUN;
		s->part_hex += 1;
		s->hex += 1;
		s->consonants = 0;
	} else {
		s->letters += 1;
		s->run = 0;
		s->hex += lower <= 'f';
		s->part_hex += lower <= 'f';
		if (VOWELS >> (lower - 'a') & 1)
			s->consonants = 0;
		else if (lower != s->last)
			s->consonants += 1;
		irregular += s->consonants >= 5 && lower != s->last;
		s->part_middle += before == BYTE_DIGIT;
	}
	if (before != BYTE_OTHER && (before == BYTE_DIGIT) != (kind == BYTE_DIGIT))
		irregular += 1;
	else if (kind == BYTE_UPPER &&
		 (before == BYTE_LOWER || (before == BYTE_UPPER && (s->flags & SEGMENT_PART_LOWER))))
		irregular += 1;
	if (kind == BYTE_LOWER)
		s->flags |= SEGMENT_PART_LOWER;
	else if (kind == BYTE_UPPER)
		s->flags |= SEGMENT_UPPER;
	s->irregular += irregular;
	s->part_irregular += irregular;
	s->part += 1;
	s->last = lower;
}

PURE_INLINE void segment_add(struct segment *s, char c)
{
	enum byte_class kind = byte_class(c);

	if (kind == BYTE_OTHER)
		segment_add_other(s, c);
	else
		segment_add_alphanumeric(s, c, kind);
	if (s->length < 8)
		s->head |= (__u64)(__u8)c << (8 * (s->length & 7));
	s->tail = s->tail << 8 | (kind == BYTE_UPPER ? (__u8)c | 0x20 : (__u8)c);
	s->last_class = kind;
	s->length += 1;
}

PURE_INLINE bool segment_is_uuid(const struct segment *s)
{
	return s->length == IDENTIFIER_UUID && s->hex == IDENTIFIER_UUID - 4 && s->hyphens == IDENTIFIER_UUID_HYPHENS;
}

/* Digits alone, hexadecimal numbers and UUIDs, dates, times, phone numbers, addresses. */
PURE_INLINE bool segment_is_number(const struct segment *s)
{
	if (s->length && s->digits == s->length)
		return true;
	if (s->length >= 16 && s->hex == s->length && s->digits)
		return true;
	if (segment_is_uuid(s))
		return true;
	/* "2024-05-01", "10.20.30.40"; not "4-2" or the version "1.2.3" */
	if (!s->letters && s->separators && s->digits >= (s->dots ? 7 : 5))
		return true;
	/* "00-1b-44-11-3a-b7", "2001%3Adb8%3A%3A1": the address of an interface */
	if (s->digits && s->separators >= 3 && s->hex >= 8 && s->hex + s->separators == s->length)
		return true;
	/* a ULID: 26 digits and upper-case letters, of which the first is a digit */
	if (s->length == IDENTIFIER_ULID && s->lead && !s->separators && !(s->flags & SEGMENT_PART_LOWER))
		return true;
	/* "20240501T120000Z" */
	return s->digits >= 8 && s->digits * 4 >= (s->digits + s->letters) * 3;
}

/* Text that is too irregular for words. */
PURE_INLINE bool segment_is_random(const struct segment *s)
{
	__u32 length = s->digits + s->letters;

	if (!s->digits)
		return length >= 16 && s->irregular * 20 >= length * 6;
	if (length >= 20)
		return s->irregular * 6 >= length;
	if (length >= 16)
		return s->irregular * 4 >= length;
	return length >= 10 && s->irregular * 3 >= length;
}

/* "9d4a7b6c", "tt0111161": the last part is shorter than random text, but no word is like that. */
PURE_INLINE bool segment_ends_in_number(const struct segment *s)
{
	bool version = s->letters == 1 && (s->head & 0xff) == 'v';

	if (segment_ends_in_hash(s))
		return true;
	return s->part_digits >= 6 && s->part_irregular == 1 && s->last_class == BYTE_DIGIT && !s->part_middle &&
	       !version;
}

/* Whether the last part is a day of this century, as in "20241022". */
PURE_INLINE bool segment_ends_in_date(const struct segment *s)
{
	__u32 month = (s->tail >> 24 & 0xf) * 10 + (s->tail >> 16 & 0xf);
	__u32 day = (s->tail >> 8 & 0xf) * 10 + (s->tail & 0xf);

	return s->part == 8 && s->part_digits == 8 && s->tail >> 48 == ('2' << 8 | '0') && month >= 1 && month <= 12 &&
	       day >= 1 && day <= 31;
}

GLOBAL_FUNC int segment_is_identifier(const struct segment *s)
{
	if (!s)
		return false;
	if (segment_is_number(s) || segment_is_random(s))
		return true;
	/* an e-mail address; "report-1714564800-final" */
	if (s->flags & (SEGMENT_HOST | SEGMENT_RUN))
		return true;
	/* "123-title-of-a-post"; not "7-zip" */
	if ((s->flags & SEGMENT_LEAD_WORD) && s->letters && (s->lead > 1 || s->separators > 1))
		return true;
	/* "file-9hLmX2…", "cus_…" */
	if ((s->flags & SEGMENT_JOINT) && s->part >= 10 && (s->part_middle || s->part_irregular >= 2))
		return true;
	if (segment_ends_in_number(s))
		return true;
	/* "order-123456"; not the release of a model, "claude-3-5-sonnet-20241022" */
	return s->part >= 6 && s->part == s->part_digits && s->part != s->digits + s->letters &&
	       !(s->separators > 1 && s->letters && segment_ends_in_date(s));
}

/* Whether the segment is a name of something rather than a word of the API, if one of both has to go: a project, a
 * region, a model. */
PURE_INLINE bool segment_is_long_name(const struct segment *s)
{
	return s->length >= 16 || (s->digits && s->length >= 10);
}

/* The prefixes by which well-known services mark their keys: "sk-…" and "sk_…" (language models, payments), "AKIA…" and
 * "ASIA…" (AWS), "AIza…" and "ya29…" (Google), "ghp_…" and its kin (GitHub), "glpat-…", "xoxb-…" (Slack), "hf_…",
 * "eyJ…" (a JWT: the base64 of a brace and a quote), and those of the switch. A name that begins so and is no key, such
 * as the locale "sk-SK", is shorter or a word.
 */
PURE_INLINE bool segment_has_key_prefix(const struct segment *s)
{
	__u64 three = low_bytes(s->head, 3), four = low_bytes(s->head, 4), five = low_bytes(s->head, 5);
	bool mixed = s->digits || s->irregular;

	if (s->length < 12)
		return false;
	if (three == WORD('s', 'k', '-', 0, 0, 0, 0, 0) || three == WORD('s', 'k', '_', 0, 0, 0, 0, 0) ||
	    three == WORD('r', 'k', '_', 0, 0, 0, 0, 0) || three == WORD('h', 'f', '_', 0, 0, 0, 0, 0))
		return mixed || s->part >= 16;
	if (three == WORD('e', 'y', 'J', 0, 0, 0, 0, 0))
		return s->length >= 16;
	if (four == WORD('A', 'K', 'I', 'A', 0, 0, 0, 0) || four == WORD('A', 'S', 'I', 'A', 0, 0, 0, 0) ||
	    four == WORD('A', 'I', 'z', 'a', 0, 0, 0, 0))
		return s->length >= 16 && mixed;
	/* "ghp_", "gho_", "ghu_", "ghs_", "ghr_"; "xoxb-", "xoxp-", "xapp-" */
	if ((four & 0xff00ffff) == WORD('g', 'h', 0, '_', 0, 0, 0, 0))
		return mixed || s->part >= 16;
	switch (four) {
	case WORD('g', 's', 'k', '_', 0, 0, 0, 0): /* Groq */
	case WORD('x', 'a', 'i', '-', 0, 0, 0, 0):
	case WORD('p', 'p', 'l', 'x', 0, 0, 0, 0):
	case WORD('n', 'v', 'a', 'p', 0, 0, 0, 0): /* "nvapi-" */
	case WORD('t', 'v', 'l', 'y', 0, 0, 0, 0):
	case WORD('l', 's', 'v', '2', 0, 0, 0, 0): /* LangSmith */
	case WORD('w', 'h', 's', 'e', 0, 0, 0, 0): /* "whsec_" of Stripe */
	case WORD('n', 'p', 'm', '_', 0, 0, 0, 0):
	case WORD('p', 'y', 'p', 'i', 0, 0, 0, 0):
	case WORD('d', 'o', 'p', '_', 0, 0, 0, 0): /* DigitalOcean */
	case WORD('y', 'a', '2', '9', 0, 0, 0, 0):
		return s->length >= 20 && mixed;
	}
	if ((four & 0xffffff) == WORD('x', 'o', 'x', 0, 0, 0, 0, 0) || five == WORD('x', 'a', 'p', 'p', '-', 0, 0, 0) ||
	    five == WORD('g', 'l', 'p', 'a', 't', 0, 0, 0))
		return mixed;
	return false;
}

/* Whether the segment can be a secret. UUIDs are not: they name things. */
GLOBAL_FUNC int segment_is_secret(const struct segment *s)
{
	if (!s)
		return false;
	if ((s->flags & SEGMENT_HOST) || segment_has_key_prefix(s))
		return true;
	if (s->length < SECRET_LENGTH || segment_is_uuid(s))
		return false;
	/* letters of one case and digits in one piece: no word is this long */
	if (!s->separators && !((s->flags & SEGMENT_UPPER) && (s->flags & SEGMENT_PART_LOWER)) && s->irregular)
		return true;
	return (s->hex == s->length && s->digits) || segment_is_random(s);
}

/* Whether secrets follow the segment in a path: "bot123456" before ":" and a token, "reset", "verify-email", "token",
 * "webhooks". */
GLOBAL_FUNC int segment_precedes_secrets(const struct segment *s)
{
	__u64 tail;

	if (!s)
		return false;
	tail = s->tail;
	if (s->digits >= 5 && s->letters == 3 && low_bytes(s->head, 3) == WORD('b', 'o', 't', 0, 0, 0, 0, 0))
		return true;
	return low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 'r', 'e', 's', 'e', 't') ||
	       low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 't', 'o', 'k', 'e', 'n') ||
	       low_bytes(tail, 6) == SHIFTED_IN(0, 0, 't', 'o', 'k', 'e', 'n', 's') ||
	       low_bytes(tail, 6) == SHIFTED_IN(0, 0, 'v', 'e', 'r', 'i', 'f', 'y') ||
	       low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 'e', 'm', 'a', 'i', 'l') ||
	       low_bytes(tail, 7) == SHIFTED_IN(0, 'c', 'o', 'n', 'f', 'i', 'r', 'm') ||
	       low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 'm', 'a', 'g', 'i', 'c') ||
	       low_bytes(tail, 3) == SHIFTED_IN(0, 0, 0, 0, 0, 'k', 'e', 'y') ||
	       low_bytes(tail, 4) == SHIFTED_IN(0, 0, 0, 0, 'a', 'u', 't', 'h') ||
	       low_bytes(tail, 4) == SHIFTED_IN(0, 0, 0, 0, 'c', 'o', 'd', 'e') ||
	       low_bytes(tail, 4) == SHIFTED_IN(0, 0, 0, 0, 'l', 'i', 'n', 'k') ||
	       low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 's', 'h', 'a', 'r', 'e') ||
	       low_bytes(tail, 4) == SHIFTED_IN(0, 0, 0, 0, 'h', 'o', 'o', 'k') ||
	       low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 'h', 'o', 'o', 'k', 's') ||
	       low_bytes(tail, 5) == SHIFTED_IN(0, 0, 0, 'l', 'o', 'g', 'i', 'n') ||
	       low_bytes(tail, 7) == SHIFTED_IN(0, 's', 'e', 's', 's', 'i', 'o', 'n') ||
	       tail == SHIFTED_IN('s', 'e', 's', 's', 'i', 'o', 'n', 's') ||
	       tail == SHIFTED_IN('s', 'e', 'r', 'v', 'i', 'c', 'e', 's') ||
	       tail == SHIFTED_IN('u', 'b', 's', 'c', 'r', 'i', 'b', 'e') ||
	       low_bytes(tail, 6) == SHIFTED_IN(0, 0, 'i', 'n', 'v', 'i', 't', 'e') ||
	       low_bytes(tail, 6) == SHIFTED_IN(0, 0, 's', 'e', 'c', 'r', 'e', 't') ||
	       tail == SHIFTED_IN('a', 'c', 't', 'i', 'v', 'a', 't', 'e') ||
	       tail == SHIFTED_IN('p', 'a', 's', 's', 'w', 'o', 'r', 'd');
}

/* Whether a segment after such a one is a secret: an identifier that is no plain number, or a digit and letters of both
 * cases. */
PURE_INLINE bool segment_is_short_secret(const struct segment *s)
{
	bool mixed = s->digits && (s->flags & SEGMENT_UPPER) && (s->flags & SEGMENT_PART_LOWER);

	return s->length >= SHORT_SECRET_LENGTH && s->digits != s->length && (mixed || segment_is_identifier(s));
}

#endif
