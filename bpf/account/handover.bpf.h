/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Processes that join a target from outside, with all processes that they fork later. No process of user space needs to
 * run for that.
 *
 * One takes the place of the target's root, which has ended: it begins to listen on an address of the target, or it
 * reads from a connection that was accepted there.
 *
 * One serves beside the root, which lives: it begins to listen on an address of the target, which two sockets can do
 * with SO_REUSEPORT. Its workers join when they read from a connection that this socket accepted. Servers that listened
 * there before the attach stay outside.
 */
#ifndef MONITOR_HANDOVER_BPF_H
#define MONITOR_HANDOVER_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/processes.bpf.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

/* The root of a target ends, if `pid` is that. */
static __always_inline void note_root_end(__u32 target, __u32 pid)
{
	struct monitor_target_settings *settings = bpf_map_lookup_elem(&target_settings, &target);
	struct monitor_target *t = target_at(target);

	if (!settings || !t || settings->root != pid)
		return;
	t->root_ended_ns = bpf_ktime_get_boot_ns();
	orphaned_ns = t->root_ended_ns;
}

/* Returns whether the root of a target has ended, and no command has found its successor yet. */
static __always_inline bool is_orphaned(void)
{
	return READ_ONCE(orphaned_ns);
}

/* Returns whether a target may serve on this TCP port. */
static __always_inline bool may_serve_port(__u16 port)
{
	return served.ports[port >> 6] >> (port & 63) & 1;
}

/* Returns whether a target may serve on the Unix socket with this name. */
static __always_inline bool may_serve_name(const struct unix_address *address)
{
	return address && (served.names >> ((address->len - sizeof(__u16)) & 63) & 1);
}

/* Adds process `pid` to the target that has the address of the socket, if that target's root has ended, or if the
 * socket shares the address since after the attach. `shared_ns`: since when (CLOCK_BOOTTIME); 0: it does not share it,
 * or nobody knows. Returns whether it did. */
static __attribute__((noinline)) bool join(const struct socket_info *f, __u32 pid, __u64 shared_ns)
{
	struct monitor_target_settings *settings;
	struct monitor_service_key key = {};
	struct monitor_process *root;
	__u32 *found, target;
	struct sock *sk;

	if (!f)
		return false;
	sk = f->sk;
	key.network = BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum);
	key.family = f->family;
	key.port = f->port;
	if (f->family == AF_UNIX)
		unix_address_read(sk, key.address);
	else if (f->family == AF_INET6)
		BPF_CORE_READ_INTO(&key.address, sk, __sk_common.skc_v6_rcv_saddr);
	else
		*(__u32 *)key.address = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
	found = bpf_map_lookup_elem(&services, &key);
	if (!found && f->tcp && f->state != TCP_LISTEN) {
		/* the listener has no address */
		__builtin_memset(key.address, 0, sizeof(key.address));
		found = bpf_map_lookup_elem(&services, &key);
	}
	if (!found)
		return false;
	target = *found;
	settings = bpf_map_lookup_elem(&target_settings, &target);
	if (!settings || settings->state == TARGET_FREE || settings->state == TARGET_LEAVING)
		return false;
	root = bpf_map_lookup_elem(&processes, &settings->root);
	if (root && root->target == target && shared_ns <= settings->since_ns)
		return false;
	return process_add(target, pid, true);
}

/* Process `pid` of no target begins to listen. Returns whether it belongs to a target now. */
static __attribute__((noinline)) bool join_by_listening(struct sock *sk, __u32 pid)
{
	struct socket_info f;

	socket_info_read(&f, sk);
	return (f.port || f.named) && join(&f, pid, f.tcp && socket_shares_port(sk) ? bpf_ktime_get_boot_ns() : 0);
}

/* Posts that process `pid` begins to listen. */
static __always_inline void post_listen(__u32 pid)
{
	struct monitor_listen *event = bpf_ringbuf_reserve(&listens, sizeof(*event), 0);

	if (!event)
		return;
	event->at_ns = bpf_ktime_get_boot_ns();
	event->pid = pid;
	event->padding = 0;
	bpf_ringbuf_submit(event, 0);
}

/* Process `pid` of no target has received bytes from `sk`, or has accepted it. Returns whether it belongs to a target
 * now. `shared_ns`: as in join(), of the socket that accepted it. A client sends before it receives, so a connection
 * that the process opened from such a port does not count. A client's Unix socket has no name. */
static __attribute__((noinline)) bool join_by_reading(struct sock *sk, __u32 pid, __u64 shared_ns)
{
	struct socket_info f;

	socket_info_read(&f, sk);
	return (f.tcp ? !socket_info_has_sent(&f) : f.named) && join(&f, pid, shared_ns);
}

#endif
