/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Datagrams that a target receives. HTTP/3 runs over QUIC, whose requests are not followed: each of its connections is
 * an undercount. The application's own traffic over UDP (a resolver, StatsD, an HTTP/3 client) is not: only sockets
 * that were bound to a port of their own choice serve.
 */
#ifndef MONITOR_DATAGRAMS_BPF_H
#define MONITOR_DATAGRAMS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/undercount.bpf.h"
#include "feed/byte_source.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/syscall_source.bpf.h"
#include "quic/datagram.h"
#include "state/listeners.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

/* net/sock.h: a bit field of four bits before Linux 6.8, which is why it is not in vmlinux.h. */
struct sock___bound {
	__u8 sk_userlocks;
} __attribute__((preserve_access_index));

/* Returns whether clients can know the port of this UDP socket: the process chose it, and takes datagrams from anyone.
 * A client's socket has a port from the kernel, or is connected. */
static __always_inline bool serves_datagrams(struct sock *sk)
{
	struct sock___bound *bound = (struct sock___bound *)sk;

	return !BPF_CORE_READ(sk, __sk_common.skc_dport) &&
	       (BPF_CORE_READ_BITFIELD_PROBED(bound, sk_userlocks) & SOCK_BINDPORT_LOCK);
}

/* So many more datagrams of the kind QUIC_LATER than of the kind QUIC_MAYBE, and none of another kind, show that a
 * socket speaks QUIC. Its connections are then older than the attach. */
#define QUIC_LATER_ENOUGH 8

/* What is known of a UDP socket, the value of its entry in quic_seen: a number of datagrams below, or one of these. */
#define QUIC_SOCKET_OTHER    0x100 /* it received something that is not QUIC */
#define QUIC_SOCKET_REPORTED 0x200 /* it is an undercount already */

/* Copies the head of a datagram of `length` bytes. Returns whether its bytes were found; those of a 32-bit program's
 * call are not. */
static __attribute__((noinline)) int datagram_head(struct walk_scratch *x, const struct pt_regs *regs, struct sock *sk,
						   __u32 length)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 address, size;

	__builtin_memset(&x->datagram, 0, sizeof(x->datagram));
	if (syscall_is_compat(task))
		return 0;
	/* by_address is a constant to the verifier, so each profile has one of the two branches */
	if (by_address ? !regs : running_registers(x, task, sk, &regs))
		return 0;
	address = syscall_datagram(regs, &size);
	if (size > length)
		size = length;
	if (size > sizeof(x->datagram))
		size = sizeof(x->datagram);
	barrier_var(size);
	return size <= sizeof(x->datagram) && !bpf_probe_read_user(&x->datagram, size, (void *)address);
}

/* A datagram of `length` bytes arrived at a socket that serves. `beside_tcp`: its target listens on a TCP port of the
 * same number. Returns whether the datagram shows a connection that has not counted yet. */
GLOBAL_FUNC int quic_received(const struct quic_head *head, __u32 length, __u64 inode, __u32 beside_tcp)
{
	struct quic_key key = {inode, 0};
	__u32 first = 0, reported = QUIC_SOCKET_REPORTED;
	enum quic_datagram kind;
	__u32 *state;
	int begins;

	if (!head)
		return 0;
	kind = quic_recognize(head->bytes, length, &key.id);
	if (kind == QUIC_INITIAL) {
		begins = !bpf_map_update_elem(&quic_seen, &key, &first, BPF_NOEXIST);
		key.id = 0;
		bpf_map_update_elem(&quic_seen, &key, &reported, BPF_ANY);
		return begins;
	}
	key.id = 0;
	bpf_map_update_elem(&quic_seen, &key, &first, BPF_NOEXIST);
	state = bpf_map_lookup_elem(&quic_seen, &key);
	if (!state || *state >= QUIC_SOCKET_OTHER)
		return 0;
	if (kind == QUIC_LATER)
		*state += 1;
	else if (kind == QUIC_MAYBE)
		*state -= *state ? 1 : 0;
	else if (!beside_tcp)
		*state = QUIC_SOCKET_OTHER;
	if (!beside_tcp && *state != QUIC_LATER_ENOUGH)
		return 0;
	*state = QUIC_SOCKET_REPORTED;
	return 1;
}

/* Counts a connection over QUIC, on a listener of its own. */
static __attribute__((noinline)) int count_quic(struct sock *sk, __u32 target)
{
	struct monitor_listener_key address;
	struct socket_info f = {.sk = sk};
	struct monitor_listener *l;

	f.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	f.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	listener_key(&address, target, &f);
	address.family |= MONITOR_UDP;
	l = listener_at(listener_make(&address, false));
	if (l)
		__sync_fetch_and_add(&l->undercount[UNDERCOUNT_QUIC], 1);
	else
		undercount(target, UNDERCOUNT_QUIC);
	return 0;
}

/* Returns whether the target listens for TCP at the address of this UDP socket. */
static __attribute__((noinline)) int listens_beside(struct sock *sk, __u32 target)
{
	struct socket_info f = {.sk = sk};
	struct monitor_listener_key address;

	f.family = BPF_CORE_READ(sk, __sk_common.skc_family);
	f.port = BPF_CORE_READ(sk, __sk_common.skc_num);
	return listener_find(&address, target, &f) != NO_LISTENER;
}

/* Process `pid` of a target received a datagram of `length` bytes, in the system call with the registers `regs`, which
 * is over; under the profile "socket" NULL: in the current call. Its arguments are few and plain, because kernels limit
 * the stack of all functions together. */
static __attribute__((noinline)) int datagram_received(struct sock *sk, const struct pt_regs *regs, __u32 pid,
						       __u32 length)
{
	struct monitor_process *process;
	struct walk_scratch *x;
	__u32 zero = 0;

	if (BPF_CORE_READ(sk, sk_protocol) != IPPROTO_UDP || !serves_datagrams(sk))
		return 0;
	process = bpf_map_lookup_elem(&processes, &pid);
	x = bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!process || !x)
		return 0;
	if (!datagram_head(x, regs, sk, length))
		length = 0; /* which is not QUIC for certain */
	if (quic_received(&x->datagram, length, BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino),
			  listens_beside(sk, process->target)))
		count_quic(sk, process->target);
	return 0;
}

#endif
