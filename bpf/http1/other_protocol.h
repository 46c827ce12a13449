/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Recognizes TLS and HTTP/2 on a connection whose start nobody saw, by the records or frames that one receive or send
 * begins with.
 */
#ifndef MONITOR_OTHER_PROTOCOL_H
#define MONITOR_OTHER_PROTOCOL_H

#include "lib/pure.h"

#define UNIT_HEADER 9 /* bytes of a frame's header; a record's has fewer */

#define TLS_RECORD_MOST	 (16384 + 256) /* RFC 8446 §5.2 */
#define HTTP2_FRAME_MOST 16384	       /* unless the peer allows more, RFC 9113 §6.5.2 */

/* Types of frames (RFC 9113 §6). */
enum http2_frame {
	HTTP2_DATA,
	HTTP2_HEADERS,
	HTTP2_PRIORITY,
	HTTP2_RST_STREAM,
	HTTP2_SETTINGS,
	HTTP2_PUSH_PROMISE,
	HTTP2_PING,
	HTTP2_GOAWAY,
	HTTP2_WINDOW_UPDATE,
	HTTP2_CONTINUATION,
};

/* Returns the length of the record of TLS that begins with `head` (RFC 8446 §5.1), or 0. */
PURE_INLINE __u32 tls_record_length(const __u8 head[UNIT_HEADER])
{
	__u32 length = (__u32)head[3] << 8 | head[4];

	if (head[0] < 0x14 || head[0] > 0x17 || head[1] != 3 || head[2] > 4 || !length || length > TLS_RECORD_MOST)
		return 0;
	return 5 + length;
}

/* Returns the length of the frame of HTTP/2 that begins with `head` (RFC 9113 §4.1), or 0. The streams are those that
 * clients open, which have odd numbers. */
PURE_INLINE __u32 http2_frame_length(const __u8 head[UNIT_HEADER])
{
	__u32 length = (__u32)head[0] << 16 | (__u32)head[1] << 8 | head[2];
	__u32 stream = (__u32)head[5] << 24 | (__u32)head[6] << 16 | (__u32)head[7] << 8 | head[8];
	__u32 type = head[3], flags = head[4];
	bool valid;

	switch (type) {
	case HTTP2_SETTINGS:
		valid = !stream && length % 6 == 0 && flags <= 1;
		break;
	case HTTP2_PING:
		valid = !stream && length == 8 && flags <= 1;
		break;
	case HTTP2_GOAWAY:
		valid = !stream && length >= 8 && !flags;
		break;
	case HTTP2_WINDOW_UPDATE:
		valid = (!stream || (stream & 1)) && length == 4 && !flags;
		break;
	case HTTP2_PRIORITY:
		valid = (stream & 1) && length == 5 && !flags;
		break;
	case HTTP2_RST_STREAM:
		valid = (stream & 1) && length == 4 && !flags;
		break;
	case HTTP2_DATA:
		valid = (stream & 1) && !(flags & ~0x09U);
		break;
	case HTTP2_HEADERS:
		valid = (stream & 1) && length && !(flags & ~0x2dU);
		break;
	case HTTP2_CONTINUATION:
		valid = (stream & 1) && !(flags & ~0x04U);
		break;
	default:
		valid = false;
	}
	return valid && length <= HTTP2_FRAME_MOST && stream < 1U << 24 ? UNIT_HEADER + length : 0;
}

#endif
