/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Recognizes WebSocket frames (RFC 6455 §5.2) on a connection whose upgrade nobody saw.
 */
#ifndef MONITOR_WEBSOCKET_H
#define MONITOR_WEBSOCKET_H

#include "lib/pure.h"

#define WEBSOCKET_HEADER 10 /* bytes that hold the length, at most */

/* Returns how many bytes of a frame's header hold its length, by its first two bytes: 2, 4 or 10. */
PURE_INLINE __u32 websocket_length_bytes(__u8 second)
{
	__u8 length = second & 0x7f;

	return length == 127 ? 10 : length == 126 ? 4 : 2;
}

/*
 * Returns the length in bytes of the frame that starts with `head`, of which websocket_length_bytes(head[1]) bytes are
 * valid; 0 if it is no frame. Frames of clients are `masked`, those of servers are not. RSV1 marks compressed frames
 * (RFC 7692 §6).
 */
PURE_INLINE __u64 websocket_frame_length(const __u8 head[WEBSOCKET_HEADER], bool masked)
{
	__u8 opcode = head[0] & 0x0f, length = head[1] & 0x7f;
	__u64 payload = length;

	if ((head[0] & 0x30) || (opcode > 2 && opcode < 8) || opcode > 10 || masked != (head[1] >> 7))
		return 0;
	if (opcode >= 8 && (!(head[0] & 0x80) || length > 125))
		return 0; /* a control frame is whole and short */
	if (length == 126) {
		payload = (__u64)head[2] << 8 | head[3];
		if (payload < 126)
			return 0;
	} else if (length == 127) {
		payload = (__u64)head[2] << 56 | (__u64)head[3] << 48 | (__u64)head[4] << 40 | (__u64)head[5] << 32 |
			  (__u64)head[6] << 24 | (__u64)head[7] << 16 | (__u64)head[8] << 8 | head[9];
		if (payload < 65536 || payload >> 62)
			return 0;
	}
	return websocket_length_bytes(head[1]) + (masked ? 4 : 0) + payload;
}

#endif
