/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Every map of the engine but the scratch space in feed/: what it holds, which side writes and reads it, and when an
 * entry dies. User space sets the sizes that depend on options before the load.
 */
#ifndef MONITOR_MAPS_BPF_H
#define MONITOR_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "state/conn.bpf.h"

/* Set by user space before the load. */
const volatile bool raw_paths = false;			 /* paths count as sent, identifiers are not folded */
const volatile bool show_secrets = false;		 /* with raw_paths: neither is what can be a secret */
const volatile __u32 endpoint_slots = MONITOR_ENDPOINTS; /* elements of endpoint_table */
const volatile bool has_routes = false;			 /* route_states, routes and route_methods are filled */
const volatile bool by_address = false; /* profile "syscall": records of TCP connections are in addressed_connections */

/* Describes this engine. The loader writes it before it attaches the hooks; a process that finds the engine pinned
 * reads it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_engine);
} engine SEC(".maps");

/* The hooks and user space write it when endpoints leave the table or are read: see struct monitor_evictions. */
struct monitor_evictions evictions SEC(".data.evictions");

/* User space writes it before the run of an iterator, which reads it. */
struct monitor_iter_request iter_request SEC(".data.iter_request");

/* For user space, so that a sample can measure CPU time since the previous sample, by any process. Samples create and
 * renew an entry. It dies with its process (exit hook, which adds it to the parent's `ended_ns`) or when its target
 * leaves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct monitor_cpu_sample);
} cpu_samples SEC(".maps");

/*
 * One bit for each process id (tgid, initial pid namespace): whether it is in `processes`. A receive on a socket
 * without a record, anywhere on the machine, reads this first: it costs a load and no call. Every writer of `processes`
 * writes it too.
 */
__u64 followed[MONITOR_MAX_PID / 64] SEC(".data.followed");

/*
 * The processes of all targets. Key: process id (tgid) in the initial pid namespace. User space creates entries at
 * registration, and the fork hook later. A connection's first receive and each sample read them. An entry dies with its
 * process (exit hook).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_PROCESSES);
	__type(key, __u32);
	__type(value, struct monitor_process);
} processes SEC(".maps");

/* Counters of processes by slot. The hooks write them with atomics, user space reads them. An element lives forever;
 * its pid identifies the process that has it now. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_PROCESSES);
	__type(key, __u32);
	__type(value, struct monitor_worker);
} workers SEC(".maps");

/* Free slots of `workers`; the one that was freed first is taken first. User space fills it before it attaches the
 * hooks. Every writer of `processes` takes slots and returns them. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MONITOR_PROCESSES);
	__type(value, __u32);
} free_workers SEC(".maps");

/* The counters of the targets by index. The hooks write them with atomics, user space zeroes them when a target leaves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_TARGETS);
	__type(key, __u32);
	__type(value, struct monitor_target);
} targets SEC(".maps");

/* User space writes it at registration, when a sample reconciles the counters, and when a target leaves. The hooks read
 * it in their rare paths. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_TARGETS);
	__type(key, __u32);
	__type(value, struct monitor_target_settings);
} target_settings SEC(".maps");

/*
 * Which slot of endpoint_table an endpoint has. The hooks create an entry at an endpoint's first request, and user
 * space creates those of the special endpoints. An entry dies if its endpoint only ever got 404, if it only ever got no
 * response and the table is nearly full, or if it is rare and the table is full. User space reads it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(key, struct monitor_endpoint_key);
	__type(value, struct monitor_endpoint_ref);
} endpoint_index SEC(".maps");

/* Counters of endpoints by slot. The hooks write them with atomics, user space reads them. A slot lives forever; its
 * generation changes with the endpoint that has it. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct monitor_endpoint);
} endpoint_table SEC(".maps");

/* Times of requests, by the slot of their endpoint. The hooks write them with atomics, user space reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct monitor_latencies);
} latencies SEC(".maps");

/* When bytes arrived on a TCP socket from which no process has read yet: it may still be in the accept queue. An entry
 * is made by the first bytes, and dies with the first read or the socket. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct arrivals);
} early_arrivals SEC(".maps");

/* Free slots of endpoint_table. User space fills it before it attaches the hooks. The hooks take slots and return them;
 * user space does so for special endpoints. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(value, __u32);
} free_endpoints SEC(".maps");

/* The templates of --routes and the automaton that finds them: see struct monitor_route_state. User space fills these
 * three before it attaches the hooks, which read them at each request line. Without templates they have one element. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_route_state);
} route_states SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_route);
} routes SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_route_methods);
} route_methods SEC(".maps");

/*
 * One record for each connection, private to bpf/. The first receive by a process of a target creates it. Connect does
 * so for the application's own outgoing connections, and registration for sockets that are already open. A record dies
 * with its socket, or when its target leaves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} connections SEC(".maps");

/*
 * The same by the address of the kernel's struct sock: for Unix sockets, because their close makes no event, and under
 * the profile "syscall" for all. An entry is created like those above. The next connection at its address reuses it;
 * the inode distinguishes them. User space deletes an entry once no process of the target has held its socket for a
 * second: by then every program that used it has ended.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct conn);
} addressed_connections SEC(".maps");

/*
 * Requests in flight on a connection beyond the ring in its record (deep pipelines), by socket and id. An entry lives
 * from the begin of its request to the end.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct spill_key);
	__type(value, struct conn_request);
} spilled_requests SEC(".maps");

/* CLOCK_BOOTTIME when a target's root ended last; 0: every target has a living root. The exit hook sets it, so that the
 * hooks on receives seek the process that takes its place. User space clears it. */
__u64 orphaned_ns SEC(".data.orphaned_ns");

/*
 * Since when (CLOCK_BOOTTIME) a listening socket of a process that joined by it (account/handover.bpf.h) can share the
 * address of a target. The kernel copies the entry to each connection that the socket accepts, so that a
 * process which reads from one is known to belong there. The profile "syscall" uses the next map instead. An entry dies
 * with its socket.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, __u64);
} shared_since SEC(".maps");

/* The same by the address of the listening socket's struct sock, of which an accept has the descriptor. An entry dies
 * when its socket ceases to listen. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_SERVICES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u64);
} shared_listeners SEC(".maps");

/* The number of entries in `shared_listeners`, so that the calls of strangers cost a load while there is no entry. */
__u64 shared_count SEC(".data.shared_count");

/* A test before `services` is searched: a receive of a stranger costs two loads while a root has ended. User space
 * writes it with `services`. */
struct monitor_served served SEC(".data.served");

/* The addresses that the targets serve, each with its target. User space writes them at each sample while a target's
 * root lives; they stay after its end, to recognize the process that takes its place. They die when the target leaves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_SERVICES);
	__type(key, struct monitor_service_key);
	__type(value, __u32);
} services SEC(".maps");

/* Every begin of listening on a TCP port, anywhere on the machine (struct monitor_listen), and on a Unix socket while
 * its hooks are attached. The process that loaded the engine reads it. If nobody does, it fills up and stays full. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 16384);
} listens SEC(".maps");

/* What a socket received over QUIC: an entry for each of its connections, by a number for the client's connection ID,
 * and one with the id 0 for the socket. The hooks write and read it (feed/datagrams.bpf.h). The entry that was used
 * least recently goes when the map is full; its connection may then count twice. */
struct quic_key {
	__u64 inode; /* of the socket's file */
	__u64 id;
};

struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct quic_key);
	__type(value, __u32);
} quic_seen SEC(".maps");

/*
 * Which slot of listener_table a listener has. Made at registration (program make_listener), when a process of a target
 * begins to listen, and at the first receive on a connection of an unknown listener. An entry dies when its target
 * leaves. It also identifies the server's side among sockets that were open before.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_LISTENERS);
	__type(key, struct monitor_listener_key);
	__type(value, __u32);
} listener_index SEC(".maps");

/* Counters of listeners by slot. The hooks write them with atomics, user space reads them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_LISTENERS);
	__type(key, __u32);
	__type(value, struct monitor_listener);
} listener_table SEC(".maps");

/* Free slots of listener_table. User space fills it before it attaches the hooks, and returns slots when a target
 * leaves. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MONITOR_LISTENERS);
	__type(value, __u32);
} free_listeners SEC(".maps");

#endif
