/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Every map of the engine: what it holds, who writes and reads it, and when an entry dies. Sizes that depend on
 * options are set by user space before the load.
 */
#ifndef MONITOR_MAPS_BPF_H
#define MONITOR_MAPS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "state/conn.bpf.h"

/* Set by user space before the load. */
const volatile bool raw_paths = false;	/* endpoints as sent, identifiers not folded */
const volatile bool by_address = false; /* profile "syscall": records of TCP connections lie in addressed_connections */

/* What the loader says of this engine. Written before the hooks are attached, read by whoever finds the engine pinned.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct monitor_engine);
} engine SEC(".maps");

/* Written by user space around the run of an iterator, which reads it. */
struct monitor_iter_request iter_request SEC(".data.iter_request");

/* Kept for user space alone, so that one look can measure CPU against another's. An entry is made and renewed by looks
 * and dies with the process (exit hook) or when its target leaves. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_PROCESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u32);
	__type(value, struct monitor_cpu_sample);
} cpu_samples SEC(".maps");

/*
 * One bit for each process id (tgid, initial pid namespace): whether it is in `processes`. What a receive on any socket
 * of the machine without a record asks first: a load and no call. Written by who writes `processes`.
 */
__u64 followed[MONITOR_MAX_PID / 64] SEC(".data.followed");

/*
 * The processes of all targets. Key: process id (tgid) in the initial pid namespace. An entry is made by user space at
 * registration and by the fork hook, read at a connection's first receive and by user space at each look, and dies with
 * the process (exit hook).
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_PROCESSES);
	__type(key, __u32);
	__type(value, struct monitor_process);
} processes SEC(".maps");

/* Counters of processes by slot. Written by the hooks with atomics, read by user space. Element n lives forever; its
 * pid tells whose it is. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_PROCESSES);
	__type(key, __u32);
	__type(value, struct monitor_worker);
} workers SEC(".maps");

/* Slots of `workers` that no process has, first freed first taken. Filled by user space before the hooks are attached;
 * who writes `processes` takes and gives back. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MONITOR_PROCESSES);
	__type(value, __u32);
} free_workers SEC(".maps");

/* The counters of the targets by index. Written by the hooks with atomics, zeroed by user space at registration. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_TARGETS);
	__type(key, __u32);
	__type(value, struct monitor_target);
} targets SEC(".maps");

/* Written by user space at registration and when a target leaves, read by the hooks in their rare paths. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_TARGETS);
	__type(key, __u32);
	__type(value, struct monitor_target_settings);
} target_settings SEC(".maps");

/*
 * Which slot of endpoint_table an endpoint has. An entry is made by the hooks at an endpoint's first request (and by
 * user space for the special ones) and dies when all that the endpoint ever got was 404, or no answer and the table is
 * nearly full. Read by user space.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(key, struct monitor_endpoint_key);
	__type(value, struct monitor_endpoint_ref);
} endpoint_index SEC(".maps");

/* Counters by slot. Written by the hooks with atomics, read by user space. A slot lives forever, its generation tells
 * whose it is now. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(key, __u32);
	__type(value, struct monitor_endpoint);
} endpoint_table SEC(".maps");

/* Slots of endpoint_table that no endpoint has. Filled by user space before the hooks are attached; the hooks take and
 * give back. */
struct {
	__uint(type, BPF_MAP_TYPE_QUEUE);
	__uint(max_entries, MONITOR_ENDPOINTS);
	__type(value, __u32);
} free_endpoints SEC(".maps");

/*
 * One record a connection, private to bpf/. Made at the first receive by a process of a target (or at its connect, for
 * the application's own outgoing connections, and at registration for sockets open before); dies with its socket, or
 * when its target leaves.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct conn);
} connections SEC(".maps");

/*
 * The same by the address of the kernel's struct sock: of Unix sockets, whose close only they themselves can be asked
 * for, and under the profile "syscall" of all. An entry is made like those above and taken over by the next connection
 * at its address (the inode tells them apart); looks have those deleted whose socket no process of the target has held
 * for a second: by then nobody is at work on it.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, MONITOR_CONNECTIONS);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct conn);
} addressed_connections SEC(".maps");

/*
 * Requests in flight on a connection beyond the ring in its record (deep pipelines). Key: socket and sequence. An entry
 * is made when the request begins and dies when it ends.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct spill_key);
	__type(value, struct conn_request);
} spilled_requests SEC(".maps");

/* Ports on which a target listens, for sockets that were open before the attach. Key: target << 16 | port. Written by
 * user space at registration, read by the socket iterator. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u32);
	__type(value, __u8);
} listen_ports SEC(".maps");

#endif
