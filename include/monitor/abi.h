/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The only meeting point of the kernel side (bpf/) and the user side (userspace/): the layout of what is kept in
 * the BPF maps that both touch. Everything is plain C with fixed-width members and no implicit padding, so that
 * the same bytes mean the same on both sides; a unit test compares the sizes with those in the built object.
 */
#ifndef MONITOR_ABI_H
#define MONITOR_ABI_H

#ifndef __bpf__
#include <stdint.h>
typedef uint8_t __abi_u8;
typedef uint16_t __abi_u16;
typedef uint32_t __abi_u32;
typedef uint64_t __abi_u64;
#else
typedef __u8 __abi_u8;
typedef __u16 __abi_u16;
typedef __u32 __abi_u32;
typedef __u64 __abi_u64;
#endif

/* Raised whenever a layout or a meaning below changes: a pinned engine of another version is refused. */
#define MONITOR_ABI_VERSION 4

/* What an engine holds at most unless it is loaded with other limits: servers, their processes together, their
 * endpoints together, and connections that are recorded by address. */
#define MONITOR_TARGETS	    16
#define MONITOR_PROCESSES   4096
#define MONITOR_ENDPOINTS   2048
#define MONITOR_CONNECTIONS 65536

/* The one element of the map `engine`: what its loader says of it. Whoever finds an engine reads this first; the
 * version stays where it is for all time. */
struct monitor_engine {
	__abi_u32 abi_version; /* MONITOR_ABI_VERSION */
	__abi_u32 by_address;  /* profile "syscall" */
	__abi_u32 raw_paths;   /* endpoints as sent, identifiers not folded */
	__abi_u32 padding;
	__abi_u64 loaded_ns; /* CLOCK_BOOTTIME */
	char version[32];    /* of the program that loaded it, terminated */
};

/* Bytes of a request's path that tell endpoints apart; a longer one is cut there and says so (ENDPOINT_PATH_CUT). */
#define MONITOR_PATH_SIZE 112
/* Bytes of a method kept, RFC 9110 §9.1 knows no limit; the registered ones have at most 17 (UPDATEREDIRECTREF). */
#define MONITOR_METHOD_SIZE 18

/* Why something could not be counted. One count is one connection (or one event where no connection is known). */
enum monitor_undercount {
	UNDERCOUNT_NONE,	/* nothing was missed; its counter stays 0 */
	UNDERCOUNT_GAP,		/* bytes passed that made no event: splice, io_uring's own paths, a lost event */
	UNDERCOUNT_REGISTERS,	/* the syscall's descriptor was not this socket's: io_uring, kernel threads, a racing
				   close */
	UNDERCOUNT_MEMORY,	/* the user's buffer could not be read */
	UNDERCOUNT_PROTOCOL,	/* a response that is no HTTP/1.x, or one to bytes that we took for no request */
	UNDERCOUNT_TLS,		/* the connection speaks TLS */
	UNDERCOUNT_HTTP2,	/* the connection speaks HTTP/2 */
	UNDERCOUNT_CONNECTIONS, /* no room for a record of the connection */
	UNDERCOUNT_PIPELINE, /* no room to remember the endpoint of a deeply pipelined request: counted under (other) */
	UNDERCOUNT_MISSED_EVENT, /* a program interrupted by itself on its CPU: the kernel dropped the inner event */
	UNDERCOUNT_PROCESSES,	 /* a forked worker did not fit the table of processes */
	UNDERCOUNT_CAUSES
};

/* Endpoints that stand for many, one of each for every target; their key has an empty method. */
enum monitor_special_endpoint {
	SPECIAL_OTHER,	   /* "(other)": the table of endpoints was full */
	SPECIAL_NOT_FOUND, /* "(not found)": paths that only ever got 404, or no answer when the table was nearly full
			    */
	SPECIAL_BEFORE_ATTACH, /* "(before attach)": requests under way when counting began */
	SPECIAL_ENDPOINTS
};

/* Counters of one server. Written by the programs with atomics, read by user space at each look. */
struct monitor_target {
	__abi_u64 active;      /* requests in flight now */
	__abi_u64 peak;	       /* the most that `active` ever was */
	__abi_u64 refused;     /* uvicorn's own 503 past --limit-concurrency; also in failed */
	__abi_u64 rejected;    /* uvicorn's own 400 to something without a response byte; in no other count */
	__abi_u64 connections; /* seen by their first receive and not closed */
	__abi_u64 peak_connections;
	__abi_u64 undercount[UNDERCOUNT_CAUSES]; /* indexed by enum monitor_undercount */
};

/* What user space says about a target; the hooks read state and special only. */
struct monitor_target_settings {
	__abi_u32 state;		      /* enum monitor_target_state */
	__abi_u32 special[SPECIAL_ENDPOINTS]; /* their slots in the endpoint table */
	__abi_u32 root;			      /* process id of the server's first process */
	__abi_u32 padding;
	__abi_u64 root_start_ns;     /* its start since boot, of clock ticks: with the pid it identifies a process */
	__abi_u64 since_ns;	     /* when counting began, CLOCK_BOOTTIME; 0 until registration is complete */
	__abi_u64 misses_before;     /* recursion misses of all programs when it began */
	__abi_u64 misses_reconciled; /* the counters were found right at this many */
};

enum monitor_target_state {
	TARGET_FREE,
	TARGET_REGISTERING, /* processes are being added: a socket seen first now may be older than that */
	TARGET_FOLLOWED,
	TARGET_LEAVING, /* what it holds is being given back */
};

/* What the next run of an iterator does besides listing. There is one for the engine: whoever writes it holds the
 * engine's lock. */
struct monitor_iter_request {
	__abi_u32 action; /* enum monitor_iter_action */
	__abi_u32 target; /* index of the target it applies to */
	__abi_u64 socket; /* of ITER_ADOPT_UNSEEN: the address of its struct sock */
};

enum monitor_iter_action {
	ITER_LIST,	   /* nothing else */
	ITER_ADOPT,	   /* make records for the target's open sockets, which may be older than its registration */
	ITER_ADOPT_UNSEEN, /* make a record for one of its sockets, bytes of which passed without an event */
	ITER_DISOWN,	   /* delete the target's records */
};

/* The CPU that a process had used when it was looked at last: what the next look measures against, whoever takes it.
 * Key: process id. */
struct monitor_cpu_sample {
	__abi_u64 start_ns; /* of the process, since boot */
	__abi_u64 cpu_ns;
	__abi_u64 at_ns; /* CLOCK_BOOTTIME */
};

/* One process of a server. Key: process id as the initial pid namespace sees it (__u32). An entry is made by user
 * space at registration and by the fork hook, and dies with the process (exit hook). */
struct monitor_process {
	__abi_u32 target; /* index into the targets */
	__abi_u32 worker; /* slot of its counters */
};

/* Counters of one process, an element of the worker table. They stay until the slot is given to another process. */
struct monitor_worker {
	__abi_u64 begun; /* requests this process read, less the rejected */
	__abi_u64 ended; /* those of them that ended, however they ended */
	__abi_u32 pid;	 /* of the process that has the slot now */
	__abi_u32 padding;
};

/* Process ids are below this (include/linux/threads.h, PID_MAX_LIMIT). */
#define MONITOR_MAX_PID (1 << 22)

/* What tells endpoints apart; the key of the endpoint index. Unused bytes are zero. */
struct monitor_endpoint_key {
	__abi_u16 target;
	__abi_u8 path_length;	/* 0..MONITOR_PATH_SIZE */
	__abi_u8 method_length; /* 0..MONITOR_METHOD_SIZE; 0: one of the special endpoints such as "(other)" */
	__abi_u8 flags;		/* ENDPOINT_PATH_CUT, ENDPOINT_METHOD_CUT */
	__abi_u8 padding;
	char method[MONITOR_METHOD_SIZE]; /* bytes of a stranger, not terminated */
	char path[MONITOR_PATH_SIZE];	  /* bytes of a stranger, not terminated */
};
#define ENDPOINT_PATH_CUT   1
#define ENDPOINT_METHOD_CUT 2

/* Value of the endpoint index: the slot of its counters and the generation that the slot must still have. */
struct monitor_endpoint_ref {
	__abi_u32 id;
	__abi_u32 generation;
};

/*
 * How long requests took that ended with one status on one endpoint, from the last byte of their heads to the end: in
 * buckets[i] up to the i-th bound and longer than the one before, in the last those past all bounds. The bounds are
 * those of OpenTelemetry's http.server.request.duration: 5, 10, 25, 50, 75, 100, 250, 500, 750 ms, 1, 2.5, 5, 7.5, 10
 * s.
 */
#define MONITOR_DURATION_BUCKETS 15
struct monitor_durations {
	__abi_u32 code;	      /* the final status, or one of enum monitor_durations_code */
	__abi_u32 merge_into; /* scratch of the hooks: the element that this one is added to when its slot is freed */
	__abi_u64 sum_ns;
	__abi_u64 buckets[MONITOR_DURATION_BUCKETS];
};

/* What monitor_durations.code can be besides a status: a final status is at least 101. */
enum monitor_durations_code {
	DURATIONS_FREE,	     /* no request uses this element */
	DURATIONS_NO_STATUS, /* of requests that ended without a status */
};

/* Elements of an endpoint: each holds one status, but the last holds all further ones, with the code DURATIONS_OTHER.
 */
#define MONITOR_STATUSES 7
#define DURATIONS_OTHER	 0xffffffffU

/* Counters of one endpoint, an element of the endpoint table. */
struct monitor_endpoint {
	/* generation << 32 | requests in flight. One word, so that taking a slot away from an endpoint that only ever
	 * got 404 can never race with a request that begins on it. */
	__abi_u64 word;
	__abi_u64 peak;	     /* most in flight at once */
	__abi_u64 completed; /* requests that ended, however they ended */
	__abi_u64 failed;
	__abi_u64 aborted;
	__abi_u64 status[6];  /* ended with a final status of class n (1..5); 0: without one, or outside 100..599 */
	__abi_u64 not_found;  /* ended with 404 */
	__abi_u64 websockets; /* in flight and upgraded by a 101 */
	struct monitor_endpoint_key key; /* of the endpoint that has the slot now */
	/* Of requests whose begin was seen. Elements are taken in order and stay until the slot changes hands. */
	struct monitor_durations durations[MONITOR_STATUSES];
};

/* include/uapi/linux/un.h, UNIX_PATH_MAX, made a multiple of eight */
#define MONITOR_UNIX_NAME_SIZE 112

/* One socket of the server's processes, emitted by the socket iterator for every descriptor of the process asked
 * for; the same socket appears once for each descriptor and process that holds it. */
struct monitor_socket {
	__abi_u64 address;   /* of the kernel's struct sock: with the inode its identity */
	__abi_u64 inode;     /* of its file */
	__abi_u64 in_flight; /* requests in flight on it, 0 without a record */
	__abi_u32 unread;    /* bytes in the receive queue, of a Unix socket buffers; on a listener: 0 */
	__abi_u32 backlog;   /* connections that wait in a listener's accept queue */
	__abi_u32 pid;
	__abi_u16 family;     /* AF_INET, AF_INET6 or AF_UNIX */
	__abi_u8 state;	      /* TCP_*, include/net/tcp_states.h; Unix sockets use the same numbers */
	__abi_u8 role;	      /* enum monitor_role */
	__abi_u16 local_port; /* host byte order; 0 for Unix sockets */
	__abi_u8 unseen;      /* without a record: bytes were read from it all the same */
	__abi_u8 named;	      /* without a record: a Unix socket that has a name, as one has that was accepted */
	__abi_u8 padding[4];
	__abi_u8 local_address[16]; /* IPv4 in the first four bytes */
};

/* Behind the record of each listening Unix socket. Apart, since a program's stack has no room for both. */
struct monitor_unix_name {
	__abi_u64 length;		   /* of the name */
	char name[MONITOR_UNIX_NAME_SIZE]; /* its path; an abstract one begins with NUL */
};

enum monitor_role {
	ROLE_UNKNOWN, /* no record: nothing was read from it yet */
	ROLE_SERVER,  /* accepted by the server */
	ROLE_CLIENT,  /* the application's own outgoing connection: never counted */
};

/* What the connection iterator emits for each open connection: the requests in flight on it, for the reconciliation of
 * the counters after a lost event. */
#define MONITOR_RING 8
struct monitor_live {
	__abi_u64 address; /* of its socket, with the inode */
	__abi_u64 inode;
	__abi_u32 target;
	__abi_u32 role;			  /* enum monitor_role */
	__abi_u32 closed;		  /* its close was seen: nothing is in flight */
	__abi_u32 in_flight;		  /* may be more than the endpoints told */
	__abi_u32 endpoint[MONITOR_RING]; /* ids of the oldest in flight, the rest UINT32_MAX */
};

#endif
