/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Recognizes QUIC by the first bytes of a datagram that a server received (RFC 9000 §17, RFC 9369). Nothing is
 * decrypted: the requests of HTTP/3 stay unseen, but their connections do not.
 */
#ifndef MONITOR_QUIC_DATAGRAM_H
#define MONITOR_QUIC_DATAGRAM_H

#include "lib/pure.h"

/* As much of a datagram as quic_recognize reads; a power of two. */
#define QUIC_HEAD_SIZE 64
struct quic_head {
	__u8 bytes[QUIC_HEAD_SIZE];
};

enum quic_datagram {
	QUIC_OTHER,   /* not QUIC */
	QUIC_INITIAL, /* a client's Initial packet: it begins a connection, or repeats that */
	QUIC_LATER,   /* may belong to a connection that began before; many other protocols have such bytes too */
	QUIC_MAYBE,   /* the same, but of a kind that is rarer in QUIC than elsewhere */
};

/* A client pads each datagram with an Initial packet to this size (§14.1). */
#define QUIC_INITIAL_SIZE 1200
/* The length of a connection ID that a client chooses for the server (§7.2), and of any connection ID (§17.2). */
#define QUIC_CHOSEN_ID_LEAST 8
#define QUIC_ID_MOST	     20

#define QUIC_LONG_HEADER 0x80
#define QUIC_FIXED_BIT	 0x40
#define QUIC_TYPE	 0x30

#define QUIC_VERSION_2	   0x6b3343cf
#define QUIC_VERSION_DRAFT 0xff0000 /* and the number of the draft */

/* Returns whether this is the version of an RFC or of one of its drafts. 0 is no version: only servers send it. */
PURE_INLINE bool quic_version_known(__u32 version)
{
	return version == 1 || version == QUIC_VERSION_2 || version >> 8 == QUIC_VERSION_DRAFT;
}

PURE_INLINE __u32 quic_version(const __u8 *head)
{
	return (__u32)head[1] << 24 | (__u32)head[2] << 16 | (__u32)head[3] << 8 | head[4];
}

/* Returns a number for the `length` bytes at `from`; 0 for none. It is FNV-1a. */
PURE_INLINE __u64 quic_id(const __u8 *head, __u32 from, __u32 length)
{
	__u64 id = 0xcbf29ce484222325ULL;
	__u32 i;

	if (!length)
		return 0;
	ROLLED
	for (i = 0; i < QUIC_ID_MOST; ++i) {
		if (i < length)
			id = (id ^ head[(from + i) & (QUIC_HEAD_SIZE - 1)]) * 0x100000001b3ULL;
	}
	return id;
}

/* Returns what a datagram with a short header is, by whether the bytes after it are as random as encrypted ones. Text
 * has no bytes above 127, and most binary protocols have few in front. 16 random bytes have less than 4 of them in one
 * case of a hundred; but the first ones are a connection ID, the same in every datagram, which may have few. */
PURE_INLINE enum quic_datagram quic_short_header(const __u8 *head)
{
	__u32 high = 0, i;

	ROLLED
	for (i = 1; i <= 16; ++i)
		high += head[i & (QUIC_HEAD_SIZE - 1)] >> 7;
	if (high >= 4)
		return QUIC_LATER;
	return high ? QUIC_MAYBE : QUIC_OTHER;
}

/*
 * Returns what a datagram of `length` bytes is that begins with `head`; bytes of the head after its end are zero. For
 * an Initial packet, sets `id` to a number for the client's connection ID, which every Initial packet of the connection
 * has. A client may have an empty one: then the server's ID counts, which changes once.
 */
PURE_INLINE enum quic_datagram quic_recognize(const __u8 *head, __u32 length, __u64 *id)
{
	__u32 version = quic_version(head);
	__u32 chosen = head[5], own, type = head[0] & QUIC_TYPE;

	if (!(head[0] & QUIC_FIXED_BIT) || length <= QUIC_ID_MOST)
		return QUIC_OTHER;
	if (!(head[0] & QUIC_LONG_HEADER))
		return quic_short_header(head);
	if (!quic_version_known(version) || chosen > QUIC_ID_MOST)
		return QUIC_OTHER;
	if (type != (version == QUIC_VERSION_2 ? 0x10 : 0) || length < QUIC_INITIAL_SIZE ||
	    chosen < QUIC_CHOSEN_ID_LEAST)
		return QUIC_LATER;
	own = head[(6 + chosen) & (QUIC_HEAD_SIZE - 1)];
	if (own > QUIC_ID_MOST)
		return QUIC_OTHER;
	*id = own ? quic_id(head, 7 + chosen, own) : quic_id(head, 6, chosen);
	return QUIC_INITIAL;
}

#endif
