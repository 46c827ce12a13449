/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Parses the lines that decide where a message ends: the header fields Content-Length, Transfer-Encoding, Connection
 * and Upgrade, and the chunk-size lines of the chunked coding.
 */
#ifndef MONITOR_HTTP1_FIELDS_H
#define MONITOR_HTTP1_FIELDS_H

#include "http1/stream.h"

/* ---- values, byte by byte: they are rare or short ---- */

/*
 * The steps below keep their results in the window, not in variables. The verifier does not track values in memory, so
 * every iteration has the same state.
 */
struct http1_loop {
	struct http1_window *w;
};

/* Runs a step in place for the length of most values, and then through repeat(), which costs a call for each byte. */
#define http1_each(step, loop)                                                                                         \
	do {                                                                                                           \
		bool each_done = false;                                                                                \
		ROLLED                                                                                                 \
		for (int each_i = 0; each_i < 8 && !each_done; ++each_i)                                               \
			each_done = step(0, loop);                                                                     \
		if (!each_done)                                                                                        \
			repeat(HTTP1_LINE_PREFIX, step, loop);                                                         \
	} while (0)

PURE_INLINE int http1_digit_step(__u32 i, struct http1_loop *loop)
{
	struct http1_window *w = loop->w;
	char c = WINDOW_BYTE(w, w->line);

	if (w->line >= w->line_end || c < '0' || c > '9')
		return 1;
	/* A body of more than 10^17 bytes never ends in practice, so the number may stop growing. */
	if (w->number < 100000000000000000ULL)
		w->number = w->number * 10 + (__u64)(c - '0');
	w->line += 1;
	w->token_length += 1;
	return 0;
}

PURE_INLINE int http1_hex_step(__u32 i, struct http1_loop *loop)
{
	struct http1_window *w = loop->w;
	char c = WINDOW_BYTE(w, w->line);
	__u64 digit;

	if (w->line >= w->line_end)
		return 1;
	if (c >= '0' && c <= '9')
		digit = (__u64)(c - '0');
	else if ((c | 0x20) >= 'a' && (c | 0x20) <= 'f')
		digit = (__u64)((c | 0x20) - 'a' + 10);
	else
		return 1;
	if (w->number < 1ULL << 56)
		w->number = w->number << 4 | digit;
	w->line += 1;
	w->token_length += 1;
	return 0;
}

PURE_INLINE int http1_blank_step(__u32 i, struct http1_loop *loop)
{
	struct http1_window *w = loop->w;
	char c = WINDOW_BYTE(w, w->line);

	if (w->line >= w->line_end || (c != ' ' && c != '\t'))
		return 1;
	w->line += 1;
	return 0;
}

/* Ends the list element in `token`. */
PURE_INLINE void http1_end_token(struct http1_window *w)
{
	__u32 bit = 0;

	if (w->token_length == 5 && w->token == SHIFTED_IN(0, 0, 0, 'c', 'l', 'o', 's', 'e'))
		bit = HTTP1_F_CLOSE;
	else if (w->token_length == 10 && w->token == SHIFTED_IN('e', 'p', '-', 'a', 'l', 'i', 'v', 'e') &&
		 w->token_first == ('k' << 8 | 'e'))
		bit = HTTP1_F_KEEP_ALIVE;
	else if (w->token_length == 7 && w->token == SHIFTED_IN(0, 'u', 'p', 'g', 'r', 'a', 'd', 'e'))
		bit = HTTP1_F_CONNECTION_UPGRADE;
	else if (w->token_length == 7 && w->token == SHIFTED_IN(0, 'c', 'h', 'u', 'n', 'k', 'e', 'd'))
		bit = HTTP1_F_CHUNKED;
	if (w->token_length) {
		w->found |= bit;
		w->last_found = bit;
	}
	w->token = 0;
	w->token_length = 0;
	w->number = 0;
}

/* Added to the length of an element that contains a blank, so that it matches no known element. */
#define HTTP1_BROKEN 64

static int http1_list_step(__u32 i, struct http1_loop *loop)
{
	struct http1_window *w = loop->w;
	__u8 c = (__u8)WINDOW_BYTE(w, w->line);

	if (w->line >= w->line_end)
		return 1;
	w->line += 1;
	if (c == ',') {
		http1_end_token(w);
	} else if (c == ' ' || c == '\t' || c == '\r') {
		/* only blanks or the end of the element may follow */
		w->number = w->token_length ? HTTP1_BROKEN : 0;
	} else {
		w->token = w->token << 8 | (c | 0x20);
		w->token_length += 1 + (__u32)w->number;
		if (w->token_length == 2)
			w->token_first = (__u32)w->token;
	}
	return 0;
}

/* Returns whether the value [line, line_end) is one of the three that nearly every list consists of. If so, sets found
 * and last_found. */
PURE_INLINE bool http1_usual_list(struct http1_window *w)
{
	__u64 word = window_word(w, w->line) | LOWER_CASE;
	__u32 length = w->line_end - w->line;

	w->found = 0;
	if (length == 10 && word == WORD('k', 'e', 'e', 'p', '-', 'a', 'l', 'i') &&
	    ((window_word(w, w->line + 8) & 0xffff) | 0x2020) == ('v' | 'e' << 8))
		w->found = HTTP1_F_KEEP_ALIVE;
	else if (length == 5 && low_bytes(word, 5) == WORD('c', 'l', 'o', 's', 'e', 0, 0, 0))
		w->found = HTTP1_F_CLOSE;
	else if (length == 7 && low_bytes(word, 7) == WORD('c', 'h', 'u', 'n', 'k', 'e', 'd', 0))
		w->found = HTTP1_F_CHUNKED;
	w->last_found = w->found;
	return w->found;
}

/* Value of last_found for a list without an element. */
#define HTTP1_NO_ELEMENT ~0U

/* Reads a list of tokens in [line, line_end) of the window into found and last_found. `cut`: the list continues after
 * line_end, so the last token may be incomplete. */
PURE_INLINE void http1_read_list(struct http1_window *w, bool cut)
{
	struct http1_loop loop = {w};

	if (WINDOW_BYTE(w, w->line) == ' ')
		w->line += 1;
	if (http1_usual_list(w))
		return;
	w->token = 0;
	w->token_length = 0;
	w->number = 0;
	w->last_found = HTTP1_NO_ELEMENT;
	repeat(HTTP1_LINE_PREFIX, http1_list_step, &loop);
	if (!cut || w->number)
		http1_end_token(w);
}

/* Returns the flags that follow from the value of an Upgrade field, at w->line. */
PURE_INLINE __u16 http1_upgrade_to(const struct http1_stream *s, const struct http1_window *w)
{
	__u64 word = window_word(w, w->line) | LOWER_CASE;

	if (word == WORD('w', 'e', 'b', 's', 'o', 'c', 'k', 'e') && (WINDOW_BYTE(w, w->line + 8) | 0x20) == 't')
		return HTTP1_F_WEBSOCKET;
	if ((s->flags & HTTP1_F_RESPONSE) && low_bytes(word, 3) == WORD('h', '2', 'c', 0, 0, 0, 0, 0))
		return HTTP1_F_HTTP2;
	return 0;
}

/* ---- lines ---- */

/*
 * Moves line and line_end to the suffix of a line that is longer than HTTP1_LINE_PREFIX and begins at `start`. The
 * parser reads only the prefix and the suffix of such a line. The suffix has one byte less than HTTP1_LINE_SUFFIX,
 * because the last byte carried may be the carriage return of the line end.
 */
PURE_INLINE void http1_judge_tail(struct http1_window *w, __u32 start, __u32 length)
{
	w->line = start + length - (HTTP1_LINE_SUFFIX - 1);
	w->line_end = start + length;
}

/* Returns whether a colon is at w->line, and moves w->line past it. Debian's httptools accepts spaces before it. */
PURE_INLINE bool http1_colon(struct http1_window *w)
{
	struct http1_loop loop = {w};

	if (WINDOW_BYTE(w, w->line) == ' ')
		repeat(HTTP1_LINE_PREFIX, http1_blank_step, &loop);
	w->line += 1;
	return WINDOW_BYTE(w, w->line - 1) == ':';
}

/* Reads the value of Content-Length at w->line. */
PURE_INLINE void http1_read_length(struct http1_stream *s, struct http1_window *w, __u32 start, __u32 length)
{
	struct http1_loop loop = {w};

	w->number = 0;
	w->token_length = 0;
	http1_each(http1_blank_step, &loop);
	http1_each(http1_digit_step, &loop);
	if (length > HTTP1_LINE_PREFIX && !w->number) {
		/* the prefix has only blanks or zeros */
		http1_judge_tail(w, start, length);
		repeat(HTTP1_LINE_SUFFIX, http1_blank_step, &loop);
		repeat(HTTP1_LINE_SUFFIX, http1_digit_step, &loop);
	}
	if (w->token_length) {
		s->remaining = w->number;
		s->flags |= HTTP1_F_HAS_LENGTH;
	}
}

/* Parses a line [pos, line_end) such as "Content-Length: 1234567", with one blank and at most seven digits, as nearly
 * every sender writes it. It takes a few operations and no call. Returns false for any other line; http1_field_line
 * then parses it. */
PURE_INLINE bool http1_usual_length(struct http1_stream *s, const struct http1_window *w)
{
	__u32 digits = w->line_end - w->pos - 16, missing = 8 * (8 - digits);
	__u64 number;

	if (digits < 1 || digits > 7 ||
	    (window_word(w, w->pos) | LOWER_CASE) != WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') ||
	    (window_word(w, w->pos + 8) | low_bytes(LOWER_CASE, 6)) != WORD('l', 'e', 'n', 'g', 't', 'h', ':', ' '))
		return false;
	/* pad with leading zeros to eight digits; then combine them to pairs, fours and all eight at once */
	number = window_word(w, w->pos + 16) << missing | (BYTES_01 * '0') >> (64 - missing);
	if (digit_marks(number) != BYTES_80)
		return false;
	number -= BYTES_01 * '0';
	number = number * 10 + (number >> 8);
	number = ((number & 0xff000000ffULL) * (100 + (1000000ULL << 32)) +
		  (number >> 16 & 0xff000000ffULL) * (1 + (10000ULL << 32))) >>
		 32;
	s->remaining = number;
	s->flags = (__u16)((s->flags & ~HTTP1_F_FIELD_MASK) | HTTP1_F_FIELD_LENGTH | HTTP1_F_HAS_LENGTH);
	return true;
}

/* Reads the list of a whole field line. If the line is longer than the parser reads, it skips the elements in the
 * middle and uses only the last of those at the end. */
PURE_INLINE void http1_read_field_list(struct http1_window *w, __u32 start, __u32 length)
{
	__u32 found, last;

	http1_read_list(w, length > HTTP1_LINE_PREFIX);
	if (length <= HTTP1_LINE_PREFIX)
		return;
	found = w->found;
	last = w->last_found;
	http1_judge_tail(w, start, length);
	http1_read_list(w, false);
	if (w->last_found == HTTP1_NO_ELEMENT)
		w->last_found = last;
	else
		found |= w->last_found;
	w->found = found;
}

/* Applies a Transfer-Encoding: only the last coding decides (RFC 9112 §6.3). */
PURE_INLINE void http1_judge_codings(struct http1_stream *s, const struct http1_window *w)
{
	s->flags |= HTTP1_F_HAS_CODING;
	if (w->last_found == HTTP1_F_CHUNKED)
		s->flags |= HTTP1_F_CHUNKED;
	else if (w->last_found != HTTP1_NO_ELEMENT)
		s->flags &= ~HTTP1_F_CHUNKED;
}

/*
 * Parses the header field line [pos, line_end), without its line end, if it affects where the message ends.
 * RFC 9112 §6: Transfer-Encoding, Content-Length; §9.3, §9.6: Connection; RFC 9110 §7.8: Upgrade.
 * A line that begins with a blank continues the line before it (obs-fold, RFC 9112 §5.2). Its text counts as one more
 * field of that name.
 */
GLOBAL_FUNC int http1_field_line(struct http1_stream *s, struct http1_window *w)
{
	struct http1_loop loop = {w};
	__u64 first, second;
	__u32 start, length, field = 0;

	if (!s || !w)
		return 0;
	start = w->pos;
	length = w->line_end - start;
	if (length > HTTP1_LINE_PREFIX)
		w->line_end = start + HTTP1_LINE_PREFIX;
	first = window_word(w, start) | LOWER_CASE;
	second = window_word(w, start + 8) | LOWER_CASE;
	if (first == WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-') &&
	    low_bytes(second, 6) == WORD('l', 'e', 'n', 'g', 't', 'h', 0, 0)) {
		w->line = start + 14;
		if (http1_colon(w))
			field = HTTP1_F_FIELD_LENGTH;
	} else if (first == WORD('c', 'o', 'n', 'n', 'e', 'c', 't', 'i') &&
		   low_bytes(second, 3) == WORD('o', 'n', ':', 0, 0, 0, 0, 0)) {
		w->line = start + 11;
		field = HTTP1_F_FIELD_CONNECTION;
	} else if (first == WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') &&
		   second == (WORD('-', 'e', 'n', 'c', 'o', 'd', 'i', 'n') | LOWER_CASE) &&
		   (WINDOW_BYTE(w, start + 16) | 0x20) == 'g') {
		w->line = start + 17;
		if (http1_colon(w))
			field = HTTP1_F_FIELD_CODING;
	} else if (low_bytes(first, 7) == WORD('u', 'p', 'g', 'r', 'a', 'd', 'e', 0)) {
		w->line = start + 7;
		if (http1_colon(w)) {
			/* an empty value asks for nothing */
			repeat(HTTP1_LINE_PREFIX, http1_blank_step, &loop);
			if (w->line < w->line_end)
				s->flags |= HTTP1_F_UPGRADE_FIELD | http1_upgrade_to(s, w);
		}
	} else if (WINDOW_BYTE(w, start) == ' ' || WINDOW_BYTE(w, start) == '\t') {
		w->line = start;
		field = s->flags & HTTP1_F_FIELD_MASK;
	}
	s->flags = (__u16)((s->flags & ~HTTP1_F_FIELD_MASK) | field);
	if (field == HTTP1_F_FIELD_LENGTH) {
		http1_read_length(s, w, start, length);
	} else if (field) {
		http1_read_field_list(w, start, length);
		if (field == HTTP1_F_FIELD_CODING)
			http1_judge_codings(s, w);
		else
			s->flags |= w->found & (HTTP1_F_CLOSE | HTTP1_F_KEEP_ALIVE | HTTP1_F_CONNECTION_UPGRADE);
	}
	if ((s->flags & HTTP1_F_UPGRADE_FIELD) && (s->flags & HTTP1_F_CONNECTION_UPGRADE))
		s->flags |= HTTP1_F_UPGRADE;
	return 0;
}

/* Parses the chunk-size line [pos, line_end) and skips its extensions (RFC 9112 §7.1). Returns 0 if it is not one. */
GLOBAL_FUNC int http1_chunk_line(struct http1_stream *s, struct http1_window *w)
{
	struct http1_loop loop = {w};
	__u32 start, length;

	if (!s || !w)
		return 0;
	start = w->pos;
	length = w->line_end - start;
	if (length > HTTP1_LINE_PREFIX)
		w->line_end = start + HTTP1_LINE_PREFIX;
	w->line = start;
	w->number = 0;
	w->token_length = 0;
	http1_each(http1_hex_step, &loop);
	if (!w->token_length)
		return 0;
	if (!w->number && w->token_length >= HTTP1_LINE_PREFIX && length > HTTP1_LINE_PREFIX) {
		/* the prefix has only zeros */
		http1_judge_tail(w, start, length);
		repeat(HTTP1_LINE_SUFFIX, http1_hex_step, &loop);
	}
	if (w->number) {
		s->remaining = w->number + 2; /* includes the line end after the data */
		s->mode = HTTP1_CHUNK_DATA;
	} else {
		s->mode = HTTP1_TRAILER;
	}
	return 1;
}

#endif
