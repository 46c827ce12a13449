/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Decides whether a segment of a path is an identifier rather than a word, and whether it can be a secret: an API key,
 * a token, an e-mail address. Call segment_end_part for the end of the segment first.
 *
 * Two kinds of rules: forms that identifiers have (numbers, UUIDs, dates, "PROJ-123", "123-title"), and random text,
 * whose pairs of letters differ from those of words. The thresholds were chosen on the kinds of generated identifiers
 * in tests/unit/identifier_test.cpp and on 70,000 names of identifiers in programs, packages and published APIs.
 */
#ifndef MONITOR_HTTP1_IDENTIFIER_H
#define MONITOR_HTTP1_IDENTIFIER_H

#include "http1/segment.h"
#include "lib/pure.h"

#define IDENTIFIER_ULID 26
#define IDENTIFIER_UUID 36
#define IDENTIFIER_VIN	17
/* The first letters of Slack's identifiers, one bit each by their codes: A, B, C, D, E, F, G, T, U and W. */
#define SLACK_KINDS (0xfeU | 1U << 20 | 1U << 21 | 1U << 23)
/* From this length on, random text can be a secret (128 bits in hexadecimal digits). */
#define SECRET_LENGTH 32
/* The same after a word such as "reset". */
#define SHORT_SECRET_LENGTH 8
/* Positions of the hyphens in a UUID, one bit each (RFC 9562 §4). */
#define IDENTIFIER_UUID_HYPHENS (1ULL << 8 | 1ULL << 13 | 1ULL << 18 | 1ULL << 23)

PURE_INLINE bool segment_is_uuid(const struct segment *s)
{
	return s->length == IDENTIFIER_UUID && s->hex == IDENTIFIER_UUID - 4 && s->hyphens == IDENTIFIER_UUID_HYPHENS;
}

/* Digits and upper-case letters in one piece. */
PURE_INLINE bool segment_is_upper_code(const struct segment *s)
{
	return !s->separators && s->digits && (s->flags & (SEGMENT_UPPER | SEGMENT_LOWER)) == SEGMENT_UPPER;
}

/* Digits alone, hexadecimal numbers and UUIDs, dates, times, phone numbers, addresses. */
PURE_INLINE bool segment_is_number(const struct segment *s)
{
	__u32 both = s->digits + s->letters;

	if (s->length && s->digits == s->length)
		return true;
	if (s->length >= 16 && s->hex == s->length && s->digits)
		return true;
	if (segment_is_uuid(s))
		return true;
	/* "2024-05-01", "10.20.30.40", the prefix of a DOI "10.1000"; not "4-2" or the version "1.2.3" */
	if (!s->letters && s->separators &&
	    (s->digits >= (s->dots ? 7 : 5) || (s->dots == 1 && s->part_digits >= 4 && s->lead == 2 && s->length >= 7)))
		return true;
	/* "00-1b-44-11-3a-b7", "{123e4567-…}", "001b.4411.3ab7" */
	if (s->digits && s->separators >= 2 && s->hex >= 8 && s->hex + s->separators == s->length)
		return true;
	/* a ULID begins with a digit */
	if (s->length == IDENTIFIER_ULID && s->lead && segment_is_upper_code(s))
		return true;
	/* "1585.png"; not "404.html" or the version "3.x" */
	if (s->lead && s->separators == 1 && s->dots == 1 && s->lead == s->digits &&
	    s->lead + 1 + s->part == s->length && s->part >= 2 &&
	    !(s->lead == 3 && s->part >= 3 && low_bytes(s->head, 3) == WORD('h', 't', 'm', 0, 0, 0, 0, 0)))
		return true;
	/* "20240501T120000Z" */
	return s->digits >= 8 && s->digits * 4 >= both * 3;
}

/* Whether the segment has both cases, as base62 and base64url nearly always have. */
PURE_INLINE bool segment_is_mixed(const struct segment *s)
{
	return (s->flags & (SEGMENT_UPPER | SEGMENT_LOWER)) == (SEGMENT_UPPER | SEGMENT_LOWER);
}

/* Text whose pairs of letters are too rare for words. */
PURE_INLINE bool segment_is_random(const struct segment *s)
{
	__s32 least = 0;

	/* base64url has hyphens and underscores anywhere: "Vh-2N6-kKTz" */
	if (s->length >= 10 && s->whole >= RANDOM_SCORE_MIXED && s->digits && segment_is_mixed(s))
		return true;
	if (s->random >= 10) {
		/* names such as "listIAMUserMFADevicesV2" are long and have few digits */
		if (s->turns < 3)
			least = s->random * 3 / 2;
		if (!s->digits && s->random < 16)
			least = RANDOM_SCORE_LETTERS;
		return s->score >= (least > RANDOM_SCORE ? least : RANDOM_SCORE);
	}
	/* not "v1p3beta1" */
	if (s->random >= 8 && s->first != 'v')
		return s->score >= (segment_is_mixed(s) || s->turns > 3 ? RANDOM_SCORE_MIXED : RANDOM_SCORE_SHORT);
	return false;
}

/* The last part is random, though its pairs are not rare: it has many digits among its letters, or is the long end of a
 * name such as "cus_NffrFeUfNVKHib". */
PURE_INLINE bool segment_ends_at_random(const struct segment *s)
{
	if (s->part < 10)
		return false;
	if (s->part_turns > 2 && s->part >= 20 && !segment_is_mixed(s))
		return s->part_score > -60;
	if (s->part_turns * 3 >= s->part)
		return s->part_score > -16;
	return (s->part_before == '-' || s->part_before == '_') && s->part_score > (s->part_turns > 1 ? -10 : 10);
}

/* Whether the last part is a day of this century, as in "20241022". */
PURE_INLINE bool segment_ends_in_day(const struct segment *s)
{
	__u32 month = (s->tail >> 24 & 0xf) * 10 + (s->tail >> 16 & 0xf);
	__u32 day = (s->tail >> 8 & 0xf) * 10 + (s->tail & 0xf);

	return s->part == 8 && s->part_digits == 8 && s->tail >> 48 == ('2' << 8 | '0') && month >= 1 && month <= 12 &&
	       day >= 1 && day <= 31;
}

/* "9d4a7b6c", "tt0111161", "order-123456": the last part is shorter than random text, but no word is like that. */
PURE_INLINE bool segment_ends_in_number(const struct segment *s)
{
	bool release;

	if (segment_part_is_number(s)) {
		/* not the release of a model, "claude-3-5-sonnet-20241022", or of a program, "gke.1282000" */
		release = s->letters && (s->part_before == '.' || (s->separators > 1 && segment_ends_in_day(s)));
		return s->part >= 6 && s->part != s->digits + s->letters && !release;
	}
	/* not the version "v202405" */
	return s->part_digits >= 6 && s->part_turns == 1 && s->last_class == BYTE_DIGIT &&
	       !(s->letters == 1 && s->first == 'v');
}

/* "logs-2024-10-16", "logs-2024.10"; not the release of a model, "gpt-4o-2024-08-06". */
PURE_INLINE bool segment_ends_in_date(const struct segment *s)
{
	if (s->part != 2 || s->part_digits != 2 || !s->letters)
		return false;
	if (s->date == DATE_MONTH)
		return s->digits == 8 && s->separators == 3;
	return s->date == DATE_YEAR && s->part_before == '.' && s->digits == 6 && s->separators == 2;
}

/* "PROJ-123", "INV-2024-0042"; not "UTF-16", "COVID-19" and the like. */
PURE_INLINE bool segment_is_ticket(const struct segment *s)
{
	__u32 name = s->length - s->part - 1;

	if (!segment_part_is_number(s) || s->part_before != '-' || s->lead || s->part < 2 ||
	    (s->flags & (SEGMENT_UPPER | SEGMENT_LOWER)) != SEGMENT_UPPER)
		return false;
	if (s->separators > 1)
		return s->digits >= 5;
	if (name < 2 || name > 10)
		return false;
	switch (low_bytes(s->tail >> (8 * (s->part + 1) & 63), 3)) {
	case ENDS3('a', 'e', 's'):
	case ENDS3('g', 'p', 't'):
	case ENDS3('i', 's', 'o'):
	case ENDS3('r', 'f', 'c'):
	case ENDS3('r', 's', 'a'):
	case ENDS3('s', 'h', 'a'):
	case ENDS3('u', 't', 'f'):
		return name != 3 || s->part > 4;
	case ENDS3('v', 'i', 'd'):
		return name != 5;
	}
	return true;
}

/* Digits and upper-case letters in one piece: the number of a vehicle, of a channel or user of Slack. */
PURE_INLINE bool segment_is_number_plate(const struct segment *s)
{
	if (s->separators || !s->digits || (s->flags & (SEGMENT_UPPER | SEGMENT_LOWER)) != SEGMENT_UPPER)
		return false;
	if (s->length == IDENTIFIER_VIN)
		return s->digits >= 3;
	if (s->length >= 14)
		return s->digits >= 4 && s->part_turns >= 3;
	if (s->length < 9 || s->length > 11 || s->lead)
		return false;
	/* "C0XA10D6G", "T024BE7LD", "U0G9QFSDS" */
	return (1U << (s->first & 31) & SLACK_KINDS) && s->part_score > -10;
}

/* Begins as the names of Matrix: "@user:example.org", "!room:example.org", "#alias:example.org". */
PURE_INLINE bool segment_has_sigil(const struct segment *s)
{
	return s->first == '@' || s->first == '!' || s->first == '#' || s->first == '$' || s->first == '+';
}

/* Forms that identifiers have and words do not. */
GLOBAL_FUNC int segment_has_form(const struct segment *s)
{
	if (!s)
		return false;
	if (s->colons && s->dots && s->letters >= 4 && segment_has_sigil(s))
		return true;
	if ((s->flags & SEGMENT_TUNED) && s->colons > 2)
		return true;
	/* an abbreviated hash of a commit */
	if (s->length == 7 && s->hex == 7 && s->lead && !(s->flags & SEGMENT_UPPER))
		return true;
	/* "web-7d4b9c6f5" */
	if (s->part_before == '-' && segment_ends_in_template_hash(s) && s->part_digits)
		return true;
	return segment_ends_in_date(s) || segment_is_ticket(s) || segment_is_number_plate(s);
}

/* Numbers, and text that is too irregular for words. */
GLOBAL_FUNC int segment_is_irregular(const struct segment *s)
{
	if (!s)
		return false;
	if (segment_is_number(s) || segment_is_random(s))
		return true;
	/* an e-mail address; "report-1714564800-final" */
	if (s->flags & (SEGMENT_HOST | SEGMENT_ID))
		return true;
	/* "123-title-of-a-post"; not "7-zip" */
	if ((s->flags & SEGMENT_LEAD_WORD) && s->letters && (s->lead > 1 || s->separators > 1))
		return true;
	return segment_ends_at_random(s) || segment_ends_in_number(s);
}

PURE_INLINE bool segment_is_identifier(const struct segment *s)
{
	return segment_is_irregular(s) || segment_has_form(s);
}

/* Whether the segment is a name of something rather than a word of the API, if one of both has to go: a project, a
 * region, a model. */
PURE_INLINE bool segment_is_long_name(const struct segment *s)
{
	return s->length >= 16 || (s->digits && s->length >= 10);
}

/* Whether the segment can be a secret. UUIDs are not: they name things. */
GLOBAL_FUNC int segment_is_secret(const struct segment *s)
{
	if (!s)
		return false;
	if (s->flags & (SEGMENT_HOST | SEGMENT_SECRET))
		return true;
	if (s->length < SECRET_LENGTH || segment_is_uuid(s))
		return false;
	/* letters of one case and digits in one piece: no word is this long; not "aaaaaaaa" */
	if (!s->separators && !segment_is_mixed(s) && s->whole > -4 * (__s32)s->length && (s->tail ^ s->tail << 8) >> 8)
		return true;
	return (s->hex + s->separators == s->length && s->digits && s->hex >= SECRET_LENGTH) || segment_is_random(s);
}

/* Whether secrets follow the segment in a path: "bot123456" before ":" and a token, "reset", "verify-email", "token",
 * "webhooks". */
PURE_INLINE bool segment_precedes_secrets(const struct segment *s)
{
	return (s->flags & SEGMENT_NAMES) || (s->part_digits >= 5 && s->part_digits + 3 == s->part &&
					      low_bytes(s->head, 3) == WORD('b', 'o', 't', 0, 0, 0, 0, 0));
}

/* Whether a segment after such a one is a secret: an identifier that is no plain number, or text that is no word. */
PURE_INLINE bool segment_is_short_secret(const struct segment *s)
{
	return s->length >= SHORT_SECRET_LENGTH && s->digits != s->length &&
	       ((s->flags & SEGMENT_ODD) || segment_is_identifier(s));
}

#endif
