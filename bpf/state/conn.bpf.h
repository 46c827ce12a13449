/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The record of one connection, and its state word. Requests can begin after the connection's only close event, and
 * begin, end and close race on different CPUs; so one atomic word decides who takes a request out of the counters:
 *
 *	bit 0       CLOSED: the close was seen
 *	bits 1..39  requests in flight
 *	bits 40..63 sequence: how many began, modulo 2^24
 *
 * begin adds CONN_BEGIN (CLOSED was set: count begun and aborted, never active), end subtracts CONN_END (CLOSED was
 * set: the close has counted it), close ORs CONN_CLOSED (only who sets it takes what was in flight).
 */
#ifndef MONITOR_CONN_BPF_H
#define MONITOR_CONN_BPF_H

#include "http1/parser.h"

#define CONN_CLOSED   1ULL
#define CONN_END      2ULL
#define CONN_SEQUENCE (1ULL << 40)
#define CONN_BEGIN    (CONN_SEQUENCE + CONN_END)
#define SEQUENCE_MASK 0xffffff

static __always_inline __u64 conn_in_flight(__u64 word)
{
	return (word & (CONN_SEQUENCE - 1)) >> 1;
}

/* Sequence of the next request to begin. */
static __always_inline __u32 conn_next(__u64 word)
{
	return word >> 40;
}

/* Sequence of the oldest request in flight. */
static __always_inline __u32 conn_oldest(__u64 word)
{
	return (conn_next(word) - (__u32)conn_in_flight(word)) & SEQUENCE_MASK;
}

/* A request in flight: since when, where it is counted, and what its response's delimitation depends on. */
struct conn_request {
	__u64 began_ns; /* CLOCK_MONOTONIC; 0: before the attach */
	__u32 sequence;
	__u32 endpoint; /* slot of its counters */
	__u32 flags;	/* REQUEST_* */
	__u32 method;	/* enum http1_method */
};

#define REQUEST_PIPELINED 1 /* others were in flight when it began */
#define REQUEST_ANSWERING 2 /* the head of its final response was sent */
#define REQUEST_TUNNEL	  4 /* answered by 101 or CONNECT's 2xx: ends with the connection */
#define REQUEST_WEBSOCKET 8 /* by 101 */

struct spill_key {
	__u64 socket;
	__u32 sequence;
	__u32 padding;
};

/* Bits of conn.flags. Written in process context by the connection's own reads and writes. */
#define CONN_LOST      1   /* bytes passed unseen: waits for a clean request start */
#define CONN_IGNORED   2   /* not HTTP/1.x: never looked at again */
#define CONN_TUNNEL    4   /* the bytes are no HTTP any more */
#define CONN_UNMATCHED 8   /* the response under way answers no request that we know */
#define CONN_SPOKE     16  /* the server answered in HTTP/1.x at least once */
#define CONN_ADOPTED   32  /* open before the attach, and lost since then: see adopted.bpf.h */
#define CONN_ANSWERED  64  /* of an adopted one: the response under way is followed from its first byte on */
#define CONN_UNSEEN    128 /* the server took bytes that made no event, and no receive came since */
#define CONN_REJECTED  256 /* the server's own parser gave up: what is still unanswered will never run */
#define CONN_ELSEWHERE 512 /* it was given away: a process of no target read from it last, and what is sent is its */

/* Which message of one recvmmsg or sendmmsg passes: each makes an event with the registers of the whole call. */
struct message_cursor {
	__u32 vector; /* low half of the address of its struct mmsghdr array */
	__u32 index;  /* of the message that comes next */
};

/* Who ended the connection: known from the transition and sk_err, never from who runs (table in docs/counting.md). */
enum close_kind {
	CLOSE_NONE,	 /* nobody yet */
	CLOSE_BY_RESET,	 /* the client's, or after its FIN without an orderly close */
	CLOSE_BY_SERVER, /* first */
	CLOSE_BY_CLIENT, /* its FIN came first, then the server closed in order */
};

struct conn {
	__u64 word;
	__u64 socket; /* address of the kernel's struct sock, as a number: key of spilled requests */
	__u64 inode;  /* of its file: tells it from a later socket at the same address */
	__u32 target;
	__u32 worker;	   /* process that read from it first */
	__u32 worker_slot; /* of its counters, while they have its pid */
	__u32 copied_seq;  /* the kernel's, after the last receive */
	__u32 write_seq;   /* the kernel's, after the last send that was looked at */
	__u16 flags;	   /* CONN_* */
	__u8 role;	   /* enum monitor_role */
	__u8 key_valid;	   /* endpoint and generation below belong to `key` */
	__u32 close_due;   /* enum close_kind: closed while a send was under way, whose event counts the close */
	__u32 endpoint;
	__u32 generation;
	__u64 gone_ns;	      /* CLOCK_BOOTTIME when an iteration first missed its socket; 0: never */
	__u64 client_gone_ns; /* CLOCK_BOOTTIME when an iteration first missed a Unix client; 0: never */
	struct message_cursor receiving;
	struct message_cursor sending;
	struct http1_stream requests;
	struct http1_stream responses;
	struct monitor_endpoint_key key; /* of the request line read last */
	struct conn_request ring[MONITOR_RING];
};

#endif
