/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Parses the request line (RFC 9112 §3): the method, the path without scheme, authority, query and fragment, and
 * whether the version is older than HTTP/1.1.
 */
#ifndef MONITOR_HTTP1_REQUEST_LINE_H
#define MONITOR_HTTP1_REQUEST_LINE_H

#include "http1/fields.h"
#include "http1/proxy_header.h"

/* Skips a scheme (RFC 3986 §3.1). */
static int http1_scheme_step(__u32 i, struct http1_loop *loop)
{
	struct http1_window *w = loop->w;
	char c = WINDOW_BYTE(w, w->line);
	bool letter = (c | 0x20) >= 'a' && (c | 0x20) <= 'z';

	if (w->line >= w->line_end || !(letter || (c >= '0' && c <= '9') || c == '+' || c == '-' || c == '.'))
		return 1;
	w->line += 1;
	return 0;
}

/* Finds the "/" that begins the path of an absolute-form target, after "://" and the authority. */
static int http1_authority_step(__u32 i, struct http1_loop *loop)
{
	struct http1_window *w = loop->w;
	char c = WINDOW_BYTE(w, w->line);

	/* if a query or fragment directly follows the authority, the path is empty */
	if (w->line >= w->line_end || c == '/' || c == '?' || c == '#')
		return 1;
	w->line += 1;
	return 0;
}

/* Moves w->line from the scheme of "http://host/path" to "/path", and returns 1. For a target without a scheme it moves
 * nothing and returns 0. */
GLOBAL_FUNC int http1_skip_authority(struct http1_window *w)
{
	struct http1_loop loop = {w};
	__u32 target;

	if (!w)
		return 0;
	target = w->line;
	repeat(HTTP1_LINE_PREFIX, http1_scheme_step, &loop);
	if (w->line == target || w->line + 3 > w->line_end ||
	    low_bytes(window_word(w, w->line), 3) != WORD(':', '/', '/', 0, 0, 0, 0, 0)) {
		w->line = target;
		return 0;
	}
	w->line += 3;
	repeat(HTTP1_LINE_PREFIX, http1_authority_step, &loop);
	return 1;
}

/* Parses the version at the end of the line. Sets HTTP1_F_OLD for a version below 1.1, and HTTP1_F_HTTP2 for the
 * preface of HTTP/2. Returns the length of the line without the version. */
PURE_INLINE __u32 http1_version(struct http1_stream *s, const struct http1_window *w)
{
	__u32 length = w->line_end - w->pos;
	__u64 tail;

	if (length < 10) {
		s->flags |= HTTP1_F_OLD;
		return length;
	}
	tail = window_word(w, w->line_end - 8);
	if (WINDOW_BYTE(w, w->line_end - 9) != ' ' || low_bytes(tail, 5) != WORD('H', 'T', 'T', 'P', '/', 0, 0, 0)) {
		/* "GET /a" without a version: some servers accept it as HTTP/0.9, and then close the connection */
		s->flags |= HTTP1_F_OLD;
		return length;
	}
	if (tail == WORD('H', 'T', 'T', 'P', '/', '1', '.', '0') || (tail >> 40 & 0xff) == '0')
		s->flags |= HTTP1_F_OLD;
	else if (tail == WORD('H', 'T', 'T', 'P', '/', '2', '.', '0') &&
		 low_bytes(window_word(w, w->pos), 6) == WORD('P', 'R', 'I', ' ', '*', ' ', 0, 0))
		s->flags |= HTTP1_F_HTTP2;
	return length - 9;
}

/* Moves w->line past further spaces before the target, but not past w->line_end. */
GLOBAL_FUNC int http1_skip_blanks(struct http1_window *w)
{
	struct http1_loop loop = {w};

	if (w)
		repeat(HTTP1_LINE_PREFIX, http1_blank_step, &loop);
	return 0;
}

/* What http1_request_line leaves in w->request_line. */
#define HTTP1_LINE_CHANGED  1  /* the method or path differs from what the key had before */
#define HTTP1_LINE_MAY_FOLD 2  /* the path can have an identifier: see path_fold.h */
#define HTTP1_LINE_LONG	    4  /* the line goes on past the bytes that are read of it */
#define HTTP1_LINE_HAS_PATH 8  /* the target is or has a path: not "*", and not "host:443" of CONNECT */
#define HTTP1_LINE_HAS_TEXT 16 /* the key's path is of the line: not the root of an absolute form without a path */

PURE_INLINE bool http1_ends_path(char c)
{
	return c == ' ' || c == '?' || c == '#';
}

/* Stores the method, `length` bytes at pos, in the key. Returns 0 if the key already had it. */
PURE_INLINE __u64 http1_put_method(struct monitor_endpoint_key *key, const struct http1_window *w, __u32 length)
{
	__u32 kept = length > MONITOR_METHOD_SIZE ? MONITOR_METHOD_SIZE : length;
	__u64 changed = (__u64)(key->method_length ^ kept), word;

	key->method_length = (__u8)kept;
	word = window_word(w, w->pos);
	if (kept < 8)
		word = low_bytes(word, kept);
	changed |= load_word(key->method) ^ word;
	store_word(key->method, word);
	word = 0;
	if (kept > 8)
		word = window_word(w, w->pos + 8);
	if (kept < 16)
		word = low_bytes(word, kept & 7);
	changed |= load_word(key->method + 8) ^ word;
	store_word(key->method + 8, word);
	word = 0;
	if (kept > 16)
		word = low_bytes(window_word(w, w->pos + 16), kept - 16);
	changed |= (__u64)((__u8)key->method[16] | (__u8)key->method[17] << 8) ^ word;
	key->method[16] = (char)word;
	key->method[17] = (char)(word >> 8);
	return changed;
}

enum put_path {
	PATH_CHANGED = 1,
	PATH_MAY_FOLD = 2, /* it has a byte that nearly every identifier has: a digit, an upper-case letter or "@" */
};

/* Puts the path, `token_length` bytes at w->path or "/" if `root`, into the key. Returns PATH_* flags. A global
 * function, because the verifier walks its loop once for each state of its caller otherwise. */
GLOBAL_FUNC int http1_put_path(struct monitor_endpoint_key *key, const struct http1_window *w, bool root)
{
	__u64 word, identifiers = 0, changed;
	__u32 path, length;

	if (!key || !w)
		return 0;
	path = w->path;
	length = w->token_length;
	changed = (__u8)(key->path_length ^ length);
	ROLLED
	for (__u32 i = 0; i < MONITOR_PATH_SIZE; i += 8) {
		__s64 rest = (__s64)length - i, rest_before = (__s64)key->path_length - i;

		barrier_var(rest);
		barrier_var(rest_before);
		/* the rest was zero and stays zero */
		if (rest <= 0 && rest_before <= 0)
			break;
		word = cut_word(root ? '/' : window_word(w, path + i), rest);
		identifiers |= digit_marks(word) | range_marks(word, '@', 'Z');
		changed |= load_word(key->path + i) ^ word;
		store_word(key->path + i, word);
	}
	key->path_length = (__u8)length;
	return (changed ? PATH_CHANGED : 0) | (identifiers ? PATH_MAY_FOLD : 0);
}

/* Marks the bytes of `word` that are an upper-case letter or a hyphen. */
PURE_INLINE __u64 http1_capital_marks(__u64 word)
{
	return range_marks(word, 'A', 'Z') | range_marks(word, '-', '-');
}

/* Returns whether a line without a version is a request all the same, by its method, the `length` bytes at pos, and its
 * target. A few servers run "GET /a". Other protocols have lines of words too: "Content-Length: 20" of a debug adapter,
 * "OPTIONS rtsp://x RTSP/1.0", "hello world". */
GLOBAL_FUNC int http1_is_versionless(const struct http1_window *w, __u32 length, __u32 target)
{
	__u64 first, second, word, marks;

	if (!w || length > 16)
		return 0;
	first = window_word(w, w->pos);
	second = window_word(w, w->pos + 8);
	marks = cut_word(BYTES_80, length) & ~http1_capital_marks(first);
	marks |= cut_word(BYTES_80, (__s64)length - 8) & ~http1_capital_marks(second);
	word = window_word(w, target);
	/* after more spaces than are passed here, any target will do */
	return !marks && ((word & 0xff) == '/' || (word & 0xff) == '*' || (word & 0xff) == ' ' ||
			  low_bytes(word | LOWER_CASE, 4) == WORD('h', 't', 't', 'p', 0, 0, 0, 0));
}

/*
 * Parses the request line [pos, line_end) into s->method and the key's method and path. Returns 0 if it is not
 * "token SP target", is the preface of HTTP/2 (RFC 9113 §3.4), begins like a TLS record, is a header of the PROXY
 * protocol at the start of the connection, or has no version and is nothing that a server would run. After a long
 * method, authority or row of spaces the path can begin past the prefix that is read; it is then empty or "/", and
 * counts as cut.
 */
PURE_INLINE int http1_request_line(struct http1_stream *s, struct http1_window *w, struct monitor_endpoint_key *key)
{
	__u32 method = 0, path, length, left, end;
	__u64 first, word, changed;
	int copied;
	bool found = false, root = false, longer;
	__u8 flags = 0;

	first = window_word(w, w->pos);
	/* a ClientHello is partly random: it can have line ends and spaces like a request */
	if ((first & 0xff) == 0x16) {
		s->flags |= HTTP1_F_TLS;
		return 0;
	}
	length = http1_version(s, w);
	/* one test for most requests: a line of the PROXY protocol has no version */
	if (s->flags & (HTTP1_F_HTTP2 | HTTP1_F_OLD)) {
		if ((s->flags & HTTP1_F_HTTP2) || (s->method == HTTP1_METHOD_NONE && http1_is_proxy_line(w)))
			return 0;
	}

	ROLLED
	for (int i = 0; i < HTTP1_REQUEST_LINE_PREFIX / 8; ++i) {
		__u64 marks = bytes_equal(window_word(w, w->pos + method), ' ');

		if (marks) {
			method += first_byte(marks);
			found = true;
			break;
		}
		method += 8;
	}
	/* the method fills the whole prefix: only the version shows that this is a request line */
	longer = length > HTTP1_REQUEST_LINE_PREFIX;
	if (!found && !(longer && w->line_end - w->pos > length))
		return 0;
	if (method == 0 || method + 1 >= length)
		return 0;
	path = w->pos + method + 1;
	/* httptools accepts more than one space */
	ROLLED
	for (int i = 0; i < 8 && WINDOW_BYTE(w, path) == ' '; ++i)
		path += 1;
	if (w->line_end - w->pos == length && !http1_is_versionless(w, method, path))
		return 0;

	if (method > MONITOR_METHOD_SIZE)
		flags |= ENDPOINT_METHOD_CUT;
	changed = http1_put_method(key, w, method);
	s->method = HTTP1_METHOD_OTHER;
	if (low_bytes(first, 5) == WORD('H', 'E', 'A', 'D', ' ', 0, 0, 0))
		s->method = HTTP1_METHOD_HEAD;
	else if (first == WORD('C', 'O', 'N', 'N', 'E', 'C', 'T', ' '))
		s->method = HTTP1_METHOD_CONNECT;

	/* the target: only the prefix of the line is read */
	end = w->pos + (longer ? HTTP1_REQUEST_LINE_PREFIX : length);
	if (WINDOW_BYTE(w, path) != '/') {
		w->line = path;
		/* nothing below needs the end of the line, so the loops may use line_end */
		w->line_end = end;
		if (WINDOW_BYTE(w, path) == ' ') {
			http1_skip_blanks(w);
			path = w->line;
		}
		if (http1_skip_authority(w)) {
			path = w->line;
			/* "http://host" and "http://host?q": the path is empty, which means "/" (RFC 9110 §4.2.3) */
			root = path >= end || WINDOW_BYTE(w, path) != '/';
		}
	}
	left = path < end ? end - path : 0;
	/* The path ends at the first space, "?" or "#", at the end of the line, or after MONITOR_PATH_SIZE bytes. */
	length = MONITOR_PATH_SIZE;
	ROLLED
	for (int i = 0; i < MONITOR_PATH_SIZE; i += 8) {
		__u64 marks;

		word = window_word(w, path + i);
		marks = bytes_equal(word, ' ') | bytes_equal(word, '?') | bytes_equal(word, '#');
		if (marks) {
			length = i + first_byte(marks);
			break;
		}
	}
	if (length >= left) {
		length = left;
		flags |= longer ? ENDPOINT_PATH_CUT : 0;
	} else if (length == MONITOR_PATH_SIZE) {
		flags |= http1_ends_path(WINDOW_BYTE(w, path + MONITOR_PATH_SIZE)) ? 0 : ENDPOINT_PATH_CUT;
	}
	if (root)
		length = 1;
	w->path = path;
	w->path_end = end;
	w->token_length = length;
	copied = http1_put_path(key, w, root);
	changed |= (copied & PATH_CHANGED) | (__u64)(key->flags ^ flags);
	key->flags = flags;
	w->request_line = (changed ? HTTP1_LINE_CHANGED : 0) | (longer ? HTTP1_LINE_LONG : 0);
	if (!root)
		w->request_line |= HTTP1_LINE_HAS_TEXT;
	if (!root && WINDOW_BYTE(w, path) == '/')
		w->request_line |= HTTP1_LINE_HAS_PATH |
				   ((copied & PATH_MAY_FOLD) || (flags & ENDPOINT_PATH_CUT) ? HTTP1_LINE_MAY_FOLD : 0);
	return 1;
}

#endif
