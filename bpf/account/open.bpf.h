/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Creates the record of a connection, and counts the connection.
 */
#ifndef MONITOR_OPEN_BPF_H
#define MONITOR_OPEN_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/close_events.bpf.h"
#include "account/requests.bpf.h"
#include "account/undercount.bpf.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/listeners.bpf.h"
#include "state/maps.bpf.h"
#include "state/records.bpf.h"
#include "state/socket_info.bpf.h"

/* What a new record is initialized from. */
struct opening {
	struct socket_info socket;
	struct monitor_process process; /* reads from the socket, or holds it */
	__u32 pid;			/* of the process */
	__u32 passed;			/* bytes of the current receive */
	__u32 maybe_older;		/* the socket may be older than its target's registration */
};

/* Returns the slot of the target's unknown listener. */
static __always_inline __u32 unknown_listener(__u32 target)
{
	struct monitor_target_settings *settings = bpf_map_lookup_elem(&target_settings, &target);

	return settings ? settings->unknown : 0;
}

/* Returns whether a connection has been quiet for longer than `times` the time for which its server leaves idle
 * connections open. One that was open before the attach is then in a request, whoever spoke last. */
static __always_inline bool outlasts_keep_alive(const struct monitor_target_settings *settings,
						const struct socket_info *f, __u32 times)
{
	return settings && settings->keep_alive_ms && f->state == TCP_ESTABLISHED &&
	       socket_info_quiet_ms(f) > (__u64)settings->keep_alive_ms * times;
}

/* Returns whether a connection whose listener is unknown may be one that the process opened: before the attach, or
 * before it joined the target. Such a connection has sent before it receives, and so has one that another process
 * accepted, answered and handed over. */
static __always_inline bool may_be_client(const struct opening *o)
{
	const struct socket_info *f = &o->socket;

	return f->tcp ? o->maybe_older || (socket_info_has_sent(f) && !socket_info_was_accepted(f)) : !f->named;
}

/* Finds the listener that accepted the connection. If it is unknown, makes one with the address of the socket, or takes
 * the target's unknown listener; not for a socket that may be a client's, which then has NO_LISTENER. A function of its
 * own that conn_init does not call, because kernels limit the stack of a chain of calls. */
static __attribute__((noinline)) int conn_find_listener(struct conn *c, const struct opening *o)
{
	const struct socket_info *f = &o->socket;
	struct monitor_listener_key address;
	struct monitor_listener *l;

	if (!c)
		return 0;
	c->target = o->process.target;
	c->listener = listener_find(&address, c->target, f);
	if (c->listener == NO_LISTENER && !may_be_client(o)) {
		c->listener = listener_make(&address, false);
		if (c->listener == NO_LISTENER)
			c->listener = unknown_listener(c->target);
	}
	l = listener_at(c->listener);
	if (l)
		c->listener_number = l->number;
	return 0;
}

/*
 * Initializes a new record whose listener is known.
 *
 * For a socket that may be older than its target's registration, only the listener or the name distinguishes server
 * from client. The iterator that adopts the socket decides whether a request is under way; the adopted streams in feed/
 * do the rest.
 */
GLOBAL_FUNC int conn_init(struct conn *c, const struct opening *o)
{
	struct monitor_target *t;
	__u32 target, before;
	bool tcp, older;
	struct sock *sk;

	if (!c || !o)
		return 0;
	sk = o->socket.sk;
	tcp = o->socket.tcp;
	older = o->maybe_older;
	target = o->process.target;
	before = o->socket.copied_seq - o->passed;
	t = target_at(target);
	c->socket = (__u64)sk;
	c->inode = o->socket.inode;
	c->target = target;
	c->worker = o->pid;
	c->worker_slot = o->process.worker;
	c->copied_seq = before;
	c->write_seq = o->socket.write_seq;
	protocol_state_init(&c->protocol);
	for (int i = 0; i < MONITOR_RING; ++i)
		c->ring[i].id = NO_REQUEST;
	if (tcp ? c->listener == NO_LISTENER : !o->socket.named) {
		c->role = ROLE_CLIENT;
		return 0;
	}
	if (o->socket.mptcp)
		c->flags |= CONN_MPTCP;
	if (older)
		c->flags |= CONN_LOST | CONN_ADOPTED;
	else if (o->socket.counts)
		/* bytes that were read earlier without an event are a gap; a FIN alone is not */
		c->copied_seq = socket_info_start(&o->socket, before - socket_info_fin_read(&o->socket));
	c->role = ROLE_SERVER;
	if (t)
		raise_peak(&t->peak_connections, __sync_fetch_and_add(&t->connections, 1) + 1);
	if (older && tcp)
		/* Earlier sends found no record to update. */
		__sync_lock_test_and_set(&c->write_seq, socket_info_write_seq(&o->socket));
	return 0;
}

/* Initializes a new record, which is all zero, and ends it if the close came before the record existed. */
static __always_inline void conn_begin(struct conn *c, const struct opening *o)
{
	struct sock *sk = o->socket.sk;

	conn_find_listener(c, o);
	conn_init(c, o);
	if (c->role == ROLE_SERVER)
		catch_up_close(c, BPF_CORE_READ(sk, __sk_common.skc_state));
}

/* Initial value of an entry in addressed_connections, too large for a program's stack. */
static const struct conn blank_connection = {};

/* Creates an all-zero record for a socket that has no record yet. Returns NULL if the map is full. */
static __always_inline struct conn *addressed_make(const struct socket_info *f)
{
	__u64 address = (__u64)f->sk;
	struct conn *c = bpf_map_lookup_elem(&addressed_connections, &address);

	/* an earlier socket at this address is gone, and no hook saw its close */
	if (c)
		conn_close(c, CLOSE_BY_SERVER);
	bpf_map_update_elem(&addressed_connections, &address, &blank_connection, c ? BPF_ANY : BPF_NOEXIST);
	return bpf_map_lookup_elem(&addressed_connections, &address);
}

/* Returns whether a socket that is first seen now may be older than the target's registration. */
static __always_inline bool is_registering(__u32 target)
{
	struct monitor_target_settings *settings = bpf_map_lookup_elem(&target_settings, &target);

	return settings && settings->state == TARGET_REGISTERING;
}

/* Completes `o` for a connection whose first known process is `pid`. Returns whether the process belongs
 * to a target. */
static __always_inline bool opening_by(struct opening *o, __u32 pid, __u32 passed)
{
	struct monitor_process *process = bpf_map_lookup_elem(&processes, &pid);

	if (!process)
		return false;
	o->process = *process;
	o->pid = pid;
	o->passed = passed;
	o->maybe_older = is_registering(process->target);
	return true;
}

/* Returns the record by address for o->socket. A receive creates it for process `pid` if there is no record yet;
 * `passed` is the number of bytes that it received, and 0 for other calls. Returns NULL if the connection belongs to no
 * target or the map is full. */
static __attribute__((noinline)) struct conn *addressed_open(struct opening *o, __u32 pid, __u32 passed)
{
	struct conn *c;

	if (!o->socket.stream)
		return NULL;
	c = addressed_find(&o->socket);
	if (c || !passed || !opening_by(o, pid, passed))
		return c;
	c = addressed_make(&o->socket);
	if (!c)
		undercount(o->process.target, UNDERCOUNT_CONNECTIONS);
	else
		conn_begin(c, o);
	return c;
}

#endif
