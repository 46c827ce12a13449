/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The only interface between the kernel side (bpf/) and the user side (userspace/): the layout of the entries of the
 * BPF maps that both sides use. Everything is plain C with fixed-width members and no implicit padding, so that both
 * sides read the same bytes in the same way. A unit test compares the sizes with those in the built object.
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

/* Raise it whenever a layout or a meaning below changes: `monitor` refuses a pinned engine of another version. */
#define MONITOR_ABI_VERSION 8

/* The default limits of an engine: servers, processes of all servers, endpoints of all servers, connections whose
 * records are found by address, and listeners of all servers. */
#define MONITOR_TARGETS	    16
#define MONITOR_PROCESSES   4096
#define MONITOR_ENDPOINTS   2048
#define MONITOR_CONNECTIONS 65536
#define MONITOR_LISTENERS   512

/* The one element of the map `engine`, written by its loader. A process that finds an engine reads this first, so
 * abi_version never moves. */
struct monitor_engine {
	__abi_u32 abi_version;	/* MONITOR_ABI_VERSION */
	__abi_u32 by_address;	/* profile "syscall" */
	__abi_u32 raw_paths;	/* endpoints as sent, identifiers not folded */
	__abi_u32 show_secrets; /* with raw_paths: what can be a secret, too */
	__abi_u64 loaded_ns;	/* CLOCK_BOOTTIME */
	__abi_u64 routes_hash;	/* of the templates of paths; 0: no templates */
	char version[32];	/* of the program that loaded it, NUL-terminated */
};

/* Bytes of a request's path that distinguish endpoints. A longer path is cut and has the flag ENDPOINT_PATH_CUT. */
#define MONITOR_PATH_SIZE 112
/* Bytes of a method that are kept. RFC 9110 §9.1 sets no limit; registered methods have at most 17
 * (UPDATEREDIRECTREF). */
#define MONITOR_METHOD_SIZE 18

/* Why something could not be counted. One count is one connection (or one event where no connection is known). */
enum monitor_undercount {
	UNDERCOUNT_NONE,	/* nothing was missed; its counter stays 0 */
	UNDERCOUNT_GAP,		/* bytes passed without an event: splice, io_uring's own paths, a lost event */
	UNDERCOUNT_REGISTERS,	/* the syscall's descriptor was not this socket's: io_uring, kernel threads, a racing
				   close */
	UNDERCOUNT_MEMORY,	/* the user's buffer could not be read */
	UNDERCOUNT_PROTOCOL,	/* a response that is not HTTP/1.x, or that answers bytes not parsed as a request */
	UNDERCOUNT_TLS,		/* the connection speaks TLS */
	UNDERCOUNT_HTTP2,	/* the connection speaks HTTP/2 */
	UNDERCOUNT_CONNECTIONS, /* no room for a record of the connection */
	UNDERCOUNT_PIPELINE, /* no room to remember the endpoint of a deeply pipelined request: counted under (other) */
	UNDERCOUNT_MISSED_EVENT, /* a program was interrupted on its CPU by an event for itself, which was dropped */
	UNDERCOUNT_PROCESSES,	 /* no room for a forked worker in the table of processes */
	UNDERCOUNT_QUIC,	 /* the client speaks QUIC: HTTP/3, whose requests are not counted */
	UNDERCOUNT_COMPAT,	 /* a 32-bit program's system call that is not followed: io_uring */
	UNDERCOUNT_CAUSES
};

/* Endpoints that each collect many paths. Every listener has one of each; their key has an empty method, and these
 * names as the path. */
enum monitor_special_endpoint {
	SPECIAL_OTHER,	   /* "(other)": the table of endpoints was full; rare endpoints that had to make room */
	SPECIAL_NOT_FOUND, /* "(not found)": paths that only ever got 404; with a nearly full table, no answer too */
	SPECIAL_BEFORE_ATTACH, /* "(before attach)": requests under way when counting began */
	SPECIAL_ENDPOINTS
};
#define MONITOR_SPECIAL_NAMES                                                                                          \
	{                                                                                                              \
		"(other)", "(not found)", "(before attach)"                                                            \
	}
#define MONITOR_SPECIAL_SIZE 16 /* of the longest name, with its NUL */

/* Counters of one server. The programs write them with atomics; user space reads them at each sample. */
struct monitor_target {
	__abi_u64 active;      /* requests in flight now on its listeners that are not apart */
	__abi_u64 peak;	       /* highest value of `active` so far */
	__abi_u64 connections; /* with a record and open: after the first receive, or since the attach */
	__abi_u64 peak_connections;
	__abi_u64 listeners;			 /* highest number of its listeners so far */
	__abi_u64 undercount[UNDERCOUNT_CAUSES]; /* indexed by enum monitor_undercount; where no connection is known */
	__abi_u64 root_ended_ns;		 /* CLOCK_BOOTTIME when a root of it ended last; 0: no root has ended */
};

/* Identifies a listener of a target: where its connections were accepted. Key of the listener index. Family 0 is for
 * connections whose listener is unknown: every target has that one. */
struct monitor_listener_key {
	__abi_u32 target;
	__abi_u16 family;     /* AF_INET, AF_INET6 or AF_UNIX; of a socket for QUIC, with MONITOR_UDP */
	__abi_u16 port;	      /* host byte order; 0 for Unix sockets */
	__abi_u8 address[16]; /* as in monitor_socket */
};
/* A UDP socket can have the address of a listener for TCP. */
#define MONITOR_UDP 0x100

/* The address of a Unix socket where other sockets have an IP address. A listener that is bound to the same path again
 * has the same one, and so has each socket that it accepted. */
struct monitor_unix_address {
	__abi_u64 number; /* mixed from the bytes of the name */
	__abi_u64 length; /* of the name; 0: the socket has no name */
};

/* Counters of one listener, an element of the listener table. The programs write the counters with atomics. */
struct monitor_listener {
	__abi_u64 active;   /* requests in flight now, without the unproven ones */
	__abi_u64 peak;	    /* highest value of `active` so far */
	__abi_u64 refused;  /* uvicorn's own 503 past --limit-concurrency; also in failed */
	__abi_u64 rejected; /* uvicorn's own 400, if no response byte came before it; in no other count */
	/* Of those on "(before attach)": in flight if the listener turns out to speak HTTP. They began when it was
	 * neither presumed nor known to, and are in no other count of requests in flight but the endpoint's. */
	__abi_u64 unproven;
	__abi_u64 undercount[UNDERCOUNT_CAUSES];
	__abi_u32 special[SPECIAL_ENDPOINTS]; /* slots of its special endpoints in the endpoint table */
	__abi_u32 number;   /* within its target; in the keys of its endpoints. 0: the unknown listener */
	__abi_u32 http;	    /* LISTENER_* bits; not 0: the server has sent a response in HTTP/1.x on it */
	__abi_u32 foreign;  /* the server has sent something else first on a new connection */
	__abi_u32 presumed; /* user space takes it for the listener of the server's HTTP */
	__abi_u32 apart; /* a process of the target serves something of its own on it: not in the target's counters */
	__abi_u8 foreign_bytes[8]; /* the first ones that the server sent on such a connection */
	struct monitor_listener_key key;
};
#define LISTENER_HTTP	 1
#define LISTENER_PROXIED 2 /* also after a header of the PROXY protocol, which the server took */
/* The highest `number`. For the connections of further listeners of a target, the listener is unknown. */
#define MONITOR_LISTENER_NUMBERS 255

#define MONITOR_PREVIOUS_ROOTS 15

/* Settings of a target, written by user space. */
struct monitor_target_settings {
	__abi_u32 state;   /* enum monitor_target_state */
	__abi_u32 root;	   /* process id of the server's first process */
	__abi_u32 unknown; /* slot of its unknown listener */
	__abi_u32
	    keep_alive_ms; /* the server closes connections that are idle for longer; 0: unknown, or it does not */
	__abi_u64 root_start_ns; /* its start since boot, in whole clock ticks: identifies it together with `root` */
	__abi_u64 since_ns;	 /* when counting began, CLOCK_BOOTTIME; 0 until registration is complete */
	__abi_u64 misses_before; /* recursion misses of all programs when counting began */
	__abi_u64 misses_reconciled; /* recursion misses when the counters were last found correct */

	__abi_u32 main; /* number of the listener that names the server; 0: none does so far */
	/* Process ids of the roots before, the latest first, each of which ended and handed over to the one before it
	 * in this list, or to `root`; 0 after the last one. Earlier ones are forgotten. */
	__abi_u32 previous_roots[MONITOR_PREVIOUS_ROOTS];
	__abi_u64 keep_ended_ns; /* for how long an attached target stays after its root has ended, in case its address
				    is served again */
};

enum monitor_target_state {
	TARGET_FREE,
	TARGET_REGISTERING, /* its processes are being added: a socket first seen now may be older than the attach */
	TARGET_FOLLOWED,
	TARGET_LEAVING, /* its entries are being freed */
};

/* What the next run of an iterator does besides listing. An engine has one; its writer holds the engine's lock. */
struct monitor_iter_request {
	__abi_u32 action; /* enum monitor_iter_action */
	__abi_u32 target; /* index of the target it applies to */
	__abi_u64
	    socket; /* for ITER_ADOPT_UNSEEN: address of the struct sock; for ITER_DISOWN likewise, or 0 for all */
};

enum monitor_iter_action {
	ITER_LIST,	   /* only list */
	ITER_ADOPT,	   /* make records for the target's open sockets, which may be older than its registration */
	ITER_ADOPT_UNSEEN, /* make a record for the socket `socket` of the target: bytes passed without an event */
	ITER_DISOWN,	   /* delete the target's records, or the one of `socket` */
};

/* The CPU time of a process at the last sample. The next sample, by any `monitor`, measures from here. User space
 * writes it; the exit hook adds to `ended_ns`. Key: process id. */
struct monitor_cpu_sample {
	__abi_u64 start_ns;  /* of the process, since boot */
	__abi_u64 cpu_ns;    /* its own */
	__abi_u64 reaped_ns; /* of its descendants that have ended and were reaped */
	__abi_u64 ended_ns;  /* what the samples of its children held that have ended since */
	__abi_u64 at_ns;     /* CLOCK_BOOTTIME */
};

/* One process of a server. Key: process id in the initial pid namespace (__u32). User space makes an entry at
 * registration, and the fork hook for a new worker; the exit hook deletes it. */
struct monitor_process {
	__abi_u32 target; /* index into the targets */
	__abi_u32 worker; /* slot of its counters */
	/* It was not forked in the target: it began to listen on an address of the target, or reads from connections
	 * that were accepted there. */
	__abi_u32 joined;
};

/* Counters of one process, an element of the worker table. They stay until another process gets the slot. */
struct monitor_worker {
	__abi_u64 begun; /* requests that this process read, without the rejected ones */
	__abi_u64 ended; /* those of them that ended, in any way */
	__abi_u32 pid;	 /* of the process that has the slot now */
	__abi_u32 padding;
};

/* Process ids are below this (include/linux/threads.h, PID_MAX_LIMIT). */
#define MONITOR_MAX_PID (1 << 22)

/* Identifies an endpoint; the key of the endpoint index. Unused bytes are zero. */
struct monitor_endpoint_key {
	__abi_u16 target;
	__abi_u8 path_length;	/* 0..MONITOR_PATH_SIZE */
	__abi_u8 method_length; /* 0..MONITOR_METHOD_SIZE; 0: one of the special endpoints such as "(other)" */
	__abi_u8 flags;		/* ENDPOINT_PATH_CUT, ENDPOINT_METHOD_CUT */
	__abi_u8 listener;	/* number of the listener that accepted the connection */
	char method[MONITOR_METHOD_SIZE]; /* untrusted bytes, not NUL-terminated */
	char path[MONITOR_PATH_SIZE];	  /* untrusted bytes, not NUL-terminated */
};
#define ENDPOINT_PATH_CUT   1
#define ENDPOINT_METHOD_CUT 2

/* Value of the endpoint index: the slot of the endpoint's counters. The reference is valid while the slot has the same
 * generation. */
struct monitor_endpoint_ref {
	__abi_u32 id;
	__abi_u32 generation;
};

/*
 * Durations of the requests of one endpoint that ended with one status, from the last byte of the request's head to the
 * end of the request. buckets[i] counts those longer than bound i-1 and up to bound i; the last bucket counts those
 * longer than every bound. The bounds are those of OpenTelemetry's http.server.request.duration: 5, 10, 25, 50, 75,
 * 100, 250, 500, 750 ms, 1, 2.5, 5, 7.5, 10 s; and for streams 15, 30, 60, 120, 300, 600 s.
 */
#define MONITOR_DURATION_BUCKETS 21
struct monitor_durations {
	__abi_u32 code;	      /* the final status, or one of enum monitor_durations_code */
	__abi_u32 merge_into; /* scratch of the hooks: index of the element to merge into when the slot is freed */
	__abi_u64 sum_ns;
	__abi_u64 buckets[MONITOR_DURATION_BUCKETS];
};

/* Values of monitor_durations.code that are not a status: a final status is at least 101. */
enum monitor_durations_code {
	DURATIONS_FREE,	     /* no request uses this element */
	DURATIONS_NO_STATUS, /* for requests that ended without a status */
};

/* Elements for each endpoint. Each holds one status; the last, with the code DURATIONS_OTHER, holds all others. */
#define MONITOR_STATUSES 7
#define DURATIONS_OTHER	 0xffffffffU

/*
 * A histogram of times, from which percentiles follow. buckets[i] counts those longer than bound i-1 and up to bound i;
 * the last bucket counts those longer than every bound. Each bound is at most 10% above the one before, and those of
 * OpenTelemetry's histograms (see below) are among them. buckets[0] stays 0, so that a fast request costs no atomic:
 * user space knows how many there were altogether.
 */
#define MONITOR_LATENCY_BOUNDS	212 /* from 100 us to 1 h */
#define MONITOR_LATENCY_BUCKETS (MONITOR_LATENCY_BOUNDS + 1)
#define MONITOR_LATENCY_DECADE(unit)                                                                                   \
	100 * (unit), 110 * (unit), 120 * (unit), 130 * (unit), 140 * (unit), 150 * (unit), 165 * (unit),              \
	    180 * (unit), 195 * (unit), 210 * (unit), 230 * (unit), 250 * (unit), 275 * (unit), 300 * (unit),          \
	    330 * (unit), 360 * (unit), 390 * (unit), 420 * (unit), 460 * (unit), 500 * (unit), 550 * (unit),          \
	    600 * (unit), 650 * (unit), 700 * (unit), 750 * (unit), 800 * (unit), 870 * (unit), 940 * (unit)
#define MONITOR_LATENCY_SECONDS(from) (from) * 1000000000ULL
#define MONITOR_LATENCY_BOUNDS_NS                                                                                      \
	{                                                                                                              \
		MONITOR_LATENCY_DECADE(1000ULL), MONITOR_LATENCY_DECADE(10000ULL), MONITOR_LATENCY_DECADE(100000ULL),  \
		    MONITOR_LATENCY_DECADE(1000000ULL), MONITOR_LATENCY_DECADE(10000000ULL),                           \
		    MONITOR_LATENCY_DECADE(100000000ULL), MONITOR_LATENCY_DECADE(1000000000ULL),                       \
		    MONITOR_LATENCY_SECONDS(1000), MONITOR_LATENCY_SECONDS(1100), MONITOR_LATENCY_SECONDS(1200),       \
		    MONITOR_LATENCY_SECONDS(1300), MONITOR_LATENCY_SECONDS(1400), MONITOR_LATENCY_SECONDS(1500),       \
		    MONITOR_LATENCY_SECONDS(1650), MONITOR_LATENCY_SECONDS(1800), MONITOR_LATENCY_SECONDS(1950),       \
		    MONITOR_LATENCY_SECONDS(2100), MONITOR_LATENCY_SECONDS(2300), MONITOR_LATENCY_SECONDS(2500),       \
		    MONITOR_LATENCY_SECONDS(2750), MONITOR_LATENCY_SECONDS(3000), MONITOR_LATENCY_SECONDS(3300),       \
		    MONITOR_LATENCY_SECONDS(3600)                                                                      \
	}
struct monitor_latency {
	__abi_u64 sum_ns;
	__abi_u64 max_ns;
	__abi_u64 buckets[MONITOR_LATENCY_BUCKETS];
};

/* The times of the requests of one endpoint that ended, in an element of `latencies` with the same slot as its
 * counters. They are those that its durations count: requests whose begin was seen. */
struct monitor_latencies {
	struct monitor_latency queue_wait; /* from the arrival of the request's first byte to its begin */
	struct monitor_latency first_byte; /* from its begin to the first byte of its final response */
	struct monitor_latency duration;   /* from its begin to its end */
	__abi_u64 unknown_waits;	   /* requests whose arrival was not seen: they are not in queue_wait */
	__abi_u64 unanswered; /* requests that ended before their final response began: they are not in first_byte */
};

/* How endpoints leave the table. An engine has one. */
struct monitor_evictions {
	/* Counted by the hooks before and after each search for an endpoint to evict. A reader of the table knows from
	 * them that no rare endpoint moved meanwhile. */
	__abi_u64 begun;
	__abi_u64 done;
	__abi_u64 hand;		   /* the hooks: slots that the search for an endpoint to evict has passed so far */
	__abi_u64 paused_until_ns; /* user space: until then (CLOCK_BOOTTIME) the hooks do not search, so that a reader
				      can read the whole table */
};

/*
 * Templates of paths, which name endpoints whose paths differ: an automaton that reads a path byte by byte, without its
 * escapes. User space compiles it before the load (userspace/routes/).
 */
#define MONITOR_ROUTE_METHODS 16
struct monitor_route_state {
	__abi_u16 next[256]; /* the next state, by the byte; state 0: no template goes on like this */
	/* If the path ends here, the index of its template in the map `routes`; 0: it has no template. By the index of
	 * the request's method in monitor_route_methods, or 0. */
	__abi_u16 route[MONITOR_ROUTE_METHODS];
};

/* The state in which a path begins. */
#define ROUTE_START 1

/* The methods that templates name, zero-padded; word[0] is not used. */
struct monitor_route_methods {
	__abi_u64 word[MONITOR_ROUTE_METHODS];
};

/* A template as endpoints show it. */
struct monitor_route {
	__abi_u8 length; /* 0..MONITOR_PATH_SIZE */
	__abi_u8 flags;	 /* ENDPOINT_PATH_CUT */
	__abi_u8 padding[6];
	char path[MONITOR_PATH_SIZE];
};

/* Counters of one endpoint, an element of the endpoint table. */
struct monitor_endpoint {
	/* generation << 32 | requests in flight. One word, so that an eviction cannot race with a request that begins
	 * on the endpoint. */
	__abi_u64 word;
	__abi_u64 peak; /* most in flight at once */
	__abi_u64 failed;
	__abi_u64 aborted;
	__abi_u64 status[6];  /* [1..5]: ended with a final status of that class; [0]: no status, or not 100..599. A
			       * request that has ended is in exactly one of them. */
	__abi_u64 not_found;  /* ended with 404 */
	__abi_u64 websockets; /* in flight and upgraded by a 101 */
	__abi_u64
	    hand_completed; /* requests that had ended when the search for an endpoint to evict saw a change of it */
	__abi_u64 hand_ns;  /* when that was, CLOCK_BOOTTIME */
	__abi_u32 listener; /* slot in the listener table */
	__abi_u32 padding;
	struct monitor_endpoint_key key; /* of the endpoint that has the slot now */
	/* Only of requests whose begin was seen. Elements are used in order, and freed when the slot is. */
	struct monitor_durations durations[MONITOR_STATUSES];
};

/* An address that a target serves; the key of the map `services`, whose value is the target's index. */
struct monitor_service_key {
	__abi_u32 network;    /* inode number of its network namespace */
	__abi_u16 family;     /* AF_INET, AF_INET6 or AF_UNIX */
	__abi_u16 port;	      /* host byte order; 0 for Unix sockets */
	__abi_u8 address[16]; /* as in monitor_socket */
};
#define MONITOR_SERVICES 1024

/* Which sockets can have one of these addresses: the programs test it before they search for an address. User space
 * writes it. */
struct monitor_served {
	__abi_u64 ports[65536 / 64]; /* one bit for each TCP port */
	__abi_u64 names; /* of Unix sockets: one bit for each value of the last six bits of a name's length */
};

/* A process has begun to listen on a TCP port, or on a Unix socket while a target does. The hooks post it, for a
 * `monitor` that follows new servers. */
struct monitor_listen {
	__abi_u64 at_ns; /* CLOCK_BOOTTIME */
	__abi_u32 pid;
	__abi_u32 padding;
};

/* UNIX_PATH_MAX (include/uapi/linux/un.h), rounded up to a multiple of eight */
#define MONITOR_UNIX_NAME_SIZE 112

/* One socket of a server's process. The socket iterator emits one for every descriptor of the process that it runs for,
 * so the same socket appears once for each descriptor and process that holds it. */
struct monitor_socket {
	__abi_u64 address;   /* of the kernel's struct sock; identifies the socket together with the inode */
	__abi_u64 inode;     /* of its file */
	__abi_u64 in_flight; /* requests in flight on it; 0 without a record */
	__abi_u32 unread;    /* in the receive queue: bytes, or buffers for a Unix socket; 0 for a listener */
	__abi_u32 backlog;   /* connections in a listener's accept queue */
	__abi_u32 pid;
	__abi_u16 family;	    /* AF_INET, AF_INET6 or AF_UNIX */
	__abi_u8 state;		    /* TCP_*, include/net/tcp_states.h; Unix sockets use the same numbers */
	__abi_u8 role;		    /* enum monitor_role */
	__abi_u16 local_port;	    /* host byte order; 0 for Unix sockets */
	__abi_u8 unseen;	    /* only without a record: bytes were read from it nevertheless */
	__abi_u8 named;		    /* only without a record: a Unix socket with a name, as every accepted one has */
	__abi_u32 network;	    /* inode number of a listener's network namespace; 0 for other sockets */
	__abi_u8 local_address[16]; /* IPv4 in the first four bytes; of a Unix socket monitor_unix_address */
	__abi_u32 listener;	    /* slot in the listener table; 0: unknown, or no record */
	__abi_u32 padding2;
};

/* Follows the monitor_socket of each listening Unix socket. Separate, because a program's stack has no room for both.
 */
struct monitor_unix_name {
	__abi_u64 length;		   /* of the name */
	char name[MONITOR_UNIX_NAME_SIZE]; /* a path, or an abstract name, which begins with NUL */
};

enum monitor_role {
	ROLE_UNKNOWN, /* no record: nothing has been read from it yet */
	ROLE_SERVER,  /* accepted by the server */
	ROLE_CLIENT,  /* the application's own outgoing connection: never counted */
};

/* The requests in flight on one open connection, emitted by the connection iterators. User space corrects the counters
 * with it after a lost event. */
#define MONITOR_RING 8
struct monitor_live {
	__abi_u64 address; /* of its struct sock; identifies the socket together with the inode */
	__abi_u64 inode;
	__abi_u32 target;
	__abi_u32 role;			  /* enum monitor_role */
	__abi_u32 closed;		  /* its close was seen: nothing is in flight */
	__abi_u32 in_flight;		  /* can exceed the number of ids in `endpoint` */
	__abi_u32 endpoint[MONITOR_RING]; /* slots of the oldest requests in flight; unused: UINT32_MAX */
};

#endif
