/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Recognizes the start of a request in a stream that was lost.
 */
#ifndef MONITOR_HTTP1_REQUEST_START_H
#define MONITOR_HTTP1_REQUEST_START_H

#include "lib/pure.h"

/*
 * Returns whether 16 bytes look like the start of a request, not like the middle of a body: a method of 3 to 14
 * upper-case letters and hyphens, a space, and "/", "*" or the "h" of an absolute-form target. `first` and `second` are
 * the bytes as load_word reads them.
 */
PURE_INLINE bool is_request_start(__u64 first, __u64 second)
{
	__u64 marks = bytes_equal(first, ' ');
	__u32 length;
	__u8 next;

	if (marks) {
		length = first_byte(marks);
		next = length == 7 ? second : first >> ((length + 1) * 8 & 63);
	} else {
		marks = bytes_equal(second, ' ');
		if (!marks)
			return false;
		length = 8 + first_byte(marks);
		next = second >> ((length - 7) * 8 & 63);
	}
	if (length < 3 || length > 14)
		return false;
	for (__u32 i = 0; i < 14; ++i) {
		__u8 c = i < 8 ? first >> (i * 8) : second >> ((i - 8) * 8);

		if (i < length && (c < 'A' || c > 'Z') && c != '-')
			return false;
	}
	return next == '/' || next == '*' || next == 'h';
}

#endif
