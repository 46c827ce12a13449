/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Finds line ends in the window, eight bytes at a time, and skips header fields that do not affect where a message
 * ends.
 */
#ifndef MONITOR_HTTP1_LINES_H
#define MONITOR_HTTP1_LINES_H

#include "http1/stream.h"

/* Bytes at the start of a line that show whether the line matters. */
#define HTTP1_NAME_BYTES 9

/* Returns whether the header field line at `at` can affect where the message ends, is the empty line, or continues the
 * line before it (obs-fold, RFC 9112 §5.2). The window must have HTTP1_NAME_BYTES of it. */
PURE_INLINE bool http1_matters(const struct http1_window *w, __u32 at)
{
	__u64 word = window_word(w, at);

	if ((word & 0xff) <= ' ')
		return true;
	word |= LOWER_CASE;
	if (word == WORD('c', 'o', 'n', 't', 'e', 'n', 't', '-'))
		return (WINDOW_BYTE(w, at + 8) | 0x20) == 'l';
	return word == WORD('c', 'o', 'n', 'n', 'e', 'c', 't', 'i') ||
	       word == WORD('t', 'r', 'a', 'n', 's', 'f', 'e', 'r') ||
	       word == WORD('u', 'p', 'g', 'r', 'a', 'd', 'e', ':') ||
	       word == WORD('u', 'p', 'g', 'r', 'a', 'd', 'e', ' ');
}

/* Returns whether the line at `at` must be read whole. It must if the window has too few bytes of it to decide. */
PURE_INLINE bool http1_wanted(const struct http1_window *w, __u32 at)
{
	return at + HTTP1_NAME_BYTES > w->end || http1_matters(w, at);
}

/* How much one step reads: pairs of words when it skips fields, single words within a line. A higher number makes the
 * verification longer; a lower one makes more steps, each of which costs a call. */
#define HTTP1_SKIP_PAIRS 40
#define HTTP1_LINE_WORDS 24

/*
 * Returns whether `at` has reached `end`. The verifier must see the same state in every iteration of the two loops
 * below; otherwise it follows every path through each iteration. So each iteration masks the position again, which does
 * not change it, and compares a difference, from which the verifier learns no bounds of the position or the end.
 */
PURE_INLINE bool http1_is_past(__u64 at, __u64 end)
{
	__s64 difference = (__s64)(at - end);

	barrier_var(difference);
	return difference >= 0;
}

/* Finds the end of the line that begins at pos. If it is found, [pos, line_end) is the line's text, and scan is after
 * the line end. */
PURE_INLINE bool http1_find_line(struct http1_window *w)
{
	__u64 scan = w->scan, end = w->end, marks = 0;

	ROLLED
	for (int i = 0; i < HTTP1_LINE_WORDS; ++i) {
		WINDOW_INDEX(scan);
		marks = bytes_equal(load_word(w->bytes + scan), '\n');
		if (marks)
			break;
		scan += 8;
		if (http1_is_past(scan, end))
			break;
	}
	if (marks)
		scan += first_byte(marks);
	if (!marks || http1_is_past(scan, end)) {
		w->scan = (__u32)(http1_is_past(scan, end) ? end : scan);
		return false;
	}
	w->scan = (__u32)scan + 1;
	w->line_end = (__u32)scan;
	if (w->scan > w->pos + 1 && WINDOW_BYTE(w, w->line_end - 1) == '\r')
		w->line_end = (__u32)scan - 1;
	return true;
}

/* Skips header field lines that do not matter, beginning inside one. Returns true at the start of a line that must be
 * read; pos and scan are then there. Otherwise they are where the next step continues. */
PURE_INLINE bool http1_skip_fields(struct http1_window *w)
{
	__u64 scan = w->scan, end = w->end;
	bool found = false;

	ROLLED
	for (int i = 0; i < HTTP1_SKIP_PAIRS; ++i) {
		__u64 first, second, marks = 0;

		WINDOW_INDEX(scan);
		first = load_word(w->bytes + scan);
		second = load_word(w->bytes + scan + 8);
		/* most pairs of words have no control character */
		if (bytes_below_space(first) | bytes_below_space(second)) {
			marks = bytes_equal(first, '\n');
			if (!marks) {
				scan += 8;
				marks = bytes_equal(second, '\n');
			}
			if (!marks)
				scan -= 8;
		}
		if (!marks) {
			scan += 16;
			if (http1_is_past(scan, end))
				break;
			continue;
		}
		scan += first_byte(marks) + 1;
		if (http1_is_past(scan, end + 1))
			break;
		if (http1_wanted(w, (__u32)scan)) {
			found = true;
			break;
		}
	}
	w->scan = (__u32)(http1_is_past(scan, end) ? end : scan);
	w->pos = w->scan;
	return found;
}

#endif
