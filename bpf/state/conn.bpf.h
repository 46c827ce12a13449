/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The record of one connection, and its state word. Requests can begin after the connection's only close event, and
 * begin, end and close race on different CPUs. One atomic word therefore decides which of them takes a request out of
 * the counters:
 *
 *	bit 0       CLOSED: the close was seen
 *	bits 1..39  requests in flight
 *	bits 40..63 the id of the next request: how many began, modulo 2^24
 *
 * A begin adds CONN_BEGIN. If CLOSED was set, the request counts as begun and aborted at once.
 * An end subtracts CONN_END. If CLOSED was set, the close has counted the request already.
 * A close sets CONN_CLOSED. The caller that sets it ends everything that was in flight.
 */
#ifndef MONITOR_CONN_BPF_H
#define MONITOR_CONN_BPF_H

#include "vmlinux.h"
#include <monitor/abi.h>

#include "state/arrivals.h"
#include "state/protocol_state.bpf.h"

#define CONN_CLOSED 1ULL
#define CONN_END    2ULL
#define CONN_NEXT   (1ULL << 40)
#define CONN_BEGIN  (CONN_NEXT + CONN_END)

#define REQUEST_ID_MASK 0xffffffU
#define NO_REQUEST	(~0U) /* ids have 24 bits: no request has this one */

static __always_inline __u64 conn_in_flight(__u64 word)
{
	return (word & (CONN_NEXT - 1)) >> 1;
}

/* Returns the id of the next request to begin. */
static __always_inline __u32 request_id_next(__u64 word)
{
	return word >> 40;
}

/* Returns the id of request `i` of those in flight, the oldest first. HTTP/1.x ends requests in the order in which they
 * began, so the ids in flight are contiguous. This function, request_store and REQUEST_PIPELINED rely on that. */
static __always_inline __u32 request_id_at(__u64 word, __u32 i)
{
	return (request_id_next(word) - (__u32)conn_in_flight(word) + i) & REQUEST_ID_MASK;
}

/* A request in flight: when it began, where it counts, and what its response said so far. */
struct conn_request {
	__u64 began_ns;	 /* CLOCK_MONOTONIC; 0: before the attach */
	__u32 waited_us; /* from the arrival of its first byte until it began, or TIME_UNKNOWN */
	__u32
	    first_byte_us; /* from its begin to the first byte of its final response, or TIME_UNKNOWN: none was sent */
	__u32 id;
	__u32 endpoint; /* slot of its counters */
	__u32 flags;	/* REQUEST_* */
	__u16 status;	/* of its final response; 0: not sent yet */
	__u16 method;	/* the protocol's own code for it, on which the length of the response can depend */
};

/* Longer times are kept as one less. */
#define TIME_UNKNOWN (~0U)

/* The protocol sets CLOSE_ENDS and REJECTED. They decide how the request ends if the server closes the connection next.
 */
#define REQUEST_PIPELINED  1   /* others were in flight when it began */
#define REQUEST_ANSWERING  2   /* the head of its final response was sent */
#define REQUEST_TUNNEL	   4   /* its response made the connection a tunnel: it ends with the connection */
#define REQUEST_WEBSOCKET  8   /* that tunnel is a WebSocket */
#define REQUEST_CLOSE_ENDS 16  /* the close completes its response */
#define REQUEST_REJECTED   32  /* its response is the server's own 400 so far */
#define REQUEST_APART	   64  /* its listener is apart: it is not in the target's counters */
#define REQUEST_UNPROVEN   128 /* before the attach, on a listener of which it is unknown whether it speaks HTTP */

struct spill_key {
	__u64 socket;
	__u32 id;
	__u32 padding;
};

/* Bits of conn.flags. Only the connection's own reads and writes change them, in process context, and the iterator that
 * adopts the connection. A close in softirq must not: updates are not atomic. */
#define CONN_LOST      1    /* bytes passed unseen: waits for a clean request start */
#define CONN_IGNORED   2    /* an unknown protocol: its bytes are never parsed again */
#define CONN_TUNNEL    4    /* the bytes no longer belong to the protocol */
#define CONN_UNMATCHED 8    /* the current response answers no known request */
#define CONN_SPOKE     16   /* the server answered in a known protocol at least once */
#define CONN_ADOPTED   32   /* open before the attach, and lost since then: feed/ finds its requests */
#define CONN_ANSWERED  64   /* adopted, and the current response was seen from its first byte */
#define CONN_UNSEEN    128  /* the server took bytes that made no event, and no receive came since */
#define CONN_ELSEWHERE 256  /* a process of no target read from it last; what is sent belongs to that process */
#define CONN_MPTCP     512  /* Multipath TCP: its positions are those of state/mptcp.bpf.h; never changes */
#define CONN_QUIET     1024 /* only the server's timeout for idle connections shows its request in flight */

/* The position in a running recvmmsg or sendmmsg. Each of its messages makes an event, with the registers of the whole
 * call. */
struct message_cursor {
	__u32 vector; /* low half of the address of its struct mmsghdr array */
	__u32 index;  /* of the next message */
};

/* Which side ended the connection. The transition and sk_err decide, never the process that runs (docs/counting.md). */
enum close_kind {
	CLOSE_NONE,	 /* still open */
	CLOSE_BY_RESET,	 /* the client's reset, or after its FIN without an orderly close */
	CLOSE_BY_SERVER, /* the server closed first */
	CLOSE_BY_CLIENT, /* the client's FIN came first, then the server closed in order */
};

struct conn {
	__u64 word;
	__u64 socket; /* address of the kernel's struct sock, as a number: key of spilled requests */
	__u64 inode;  /* of its file: distinguishes it from a later socket at the same address */
	__u32 target;
	__u32 listener;	       /* slot of the listener that accepted it */
	__u32 worker;	       /* process that read from it first, or held it when it was adopted */
	__u32 worker_slot;     /* of that process's counters, while they carry its pid */
	__u32 copied_seq;      /* the kernel's, after the last receive */
	__u32 write_seq;       /* the kernel's, after the last send that was parsed */
	__u16 flags;	       /* CONN_* */
	__u8 role;	       /* enum monitor_role */
	__u8 key_valid;	       /* endpoint and generation below belong to `key` */
	__u32 listener_number; /* its number in the keys of endpoints */
	__u32 close_due;       /* enum close_kind: closed during a send, whose event counts the close */
	__u32 rejected;	       /* the server's own parser gave up: requests without a response will never run */
	__u32 endpoint;
	__u32 generation;
	__u64 gone_ns;	      /* CLOCK_BOOTTIME when an iteration first missed its socket; 0: never */
	__u64 client_gone_ns; /* CLOCK_BOOTTIME when an iteration first missed a Unix client; 0: never */
	__u64 arrived_ns;     /* of the first byte of the request whose head is being read; 0: unknown, or none is */
	struct arrivals arrivals; /* profile "socket", TCP */
	struct message_cursor receiving;
	struct message_cursor sending;
	struct protocol_state protocol;
	struct monitor_endpoint_key key; /* of the request whose head was read last */
	struct conn_request ring[MONITOR_RING];
};

#endif
