/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The table of listeners: where the connections of a target were accepted. An accepted socket does not name its
 * listener, but it has the listener's port and address, or any address if the listener has none (0.0.0.0, ::). An
 * accepted Unix socket shares the name of its listener.
 */
#ifndef MONITOR_LISTENERS_BPF_H
#define MONITOR_LISTENERS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/counters.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

#define NO_LISTENER (~0U)

/* Fills in the key of the listener that has the address of this socket. */
static __always_inline void listener_key(struct monitor_listener_key *key, __u32 target, const struct socket_info *f)
{
	struct sock *sk = f->sk;

	__builtin_memset(key, 0, sizeof(*key));
	key->target = target;
	key->family = f->family;
	key->port = f->port;
	if (f->family == AF_UNIX)
		*(__u64 *)key->address = (__u64)BPF_CORE_READ((struct unix_sock *)sk, addr);
	else if (f->family == AF_INET6)
		BPF_CORE_READ_INTO(&key->address, sk, __sk_common.skc_v6_rcv_saddr);
	else
		*(__u32 *)key->address = BPF_CORE_READ(sk, __sk_common.skc_rcv_saddr);
}

/* Returns the slot of the listener that accepted a socket, or NO_LISTENER if it is unknown. Leaves the key of the
 * socket's own address in `key`. */
static __always_inline __u32 listener_find(struct monitor_listener_key *key, __u32 target, const struct socket_info *f)
{
	struct monitor_listener_key any;
	__u32 *slot;

	listener_key(key, target, f);
	slot = bpf_map_lookup_elem(&listener_index, key);
	if (!slot && f->family != AF_UNIX) {
		any = *key;
		__builtin_memset(any.address, 0, sizeof(any.address));
		slot = bpf_map_lookup_elem(&listener_index, &any);
	}
	return slot ? *slot : NO_LISTENER;
}

/* Makes special endpoint `which` of listener `number` of a target. Returns its slot, or ~0 if there is no room. */
GLOBAL_FUNC int special_make(__u32 target, __u32 number, __u32 slot, __u32 which)
{
	static const char names[SPECIAL_ENDPOINTS][MONITOR_SPECIAL_SIZE] = MONITOR_SPECIAL_NAMES;
	struct monitor_endpoint_ref made = {};
	struct monitor_endpoint *e;

	if (which >= SPECIAL_ENDPOINTS || bpf_map_pop_elem(&free_endpoints, &made.id))
		return ~0U;
	e = endpoint_at(made.id);
	if (!e)
		return ~0U;
	made.generation = e->word >> 32;
	e->listener = slot;
	__builtin_memset(&e->key, 0, sizeof(e->key));
	e->key.target = target;
	e->key.listener = number;
	UNROLLED
	for (int i = 0; i < MONITOR_SPECIAL_SIZE; ++i) {
		char byte = names[which][i];

		e->key.path[i] = byte;
		if (byte)
			e->key.path_length = i + 1;
	}
	if (bpf_map_update_elem(&endpoint_index, &e->key, &made, BPF_NOEXIST)) {
		bpf_map_push_elem(&free_endpoints, &made.id, BPF_ANY);
		return ~0U;
	}
	return made.id;
}

/* Frees a special endpoint that nothing has used. */
static __attribute__((noinline)) int special_free(__u32 id)
{
	struct monitor_endpoint *e = endpoint_at(id);

	if (!e)
		return 0;
	bpf_map_delete_elem(&endpoint_index, &e->key);
	bpf_map_push_elem(&free_endpoints, &id, BPF_ANY);
	return 0;
}

/* Makes the three special endpoints of the listener in `slot`, all or none. Returns whether there was room. */
static __always_inline bool specials_make(struct monitor_listener *l, __u32 slot)
{
	__u32 made[SPECIAL_ENDPOINTS];
	bool complete = true;

	UNROLLED
	for (int i = 0; i < SPECIAL_ENDPOINTS; ++i) {
		made[i] = special_make(l->key.target, l->number, slot, i);
		complete = complete && made[i] != ~0U;
		l->special[i] = made[i];
	}
	if (complete)
		return true;
	UNROLLED
	for (int i = 0; i < SPECIAL_ENDPOINTS; ++i)
		special_free(made[i]);
	return false;
}

/* Makes a listener. Returns its slot, also if it exists already, or NO_LISTENER if there is no room. */
GLOBAL_FUNC int listener_make(const struct monitor_listener_key *key, bool apart)
{
	struct monitor_listener_key own;
	__u32 target, slot = 0, *known;
	struct monitor_listener *l;
	struct monitor_target *t;

	if (!key)
		return NO_LISTENER;
	own = *key;
	target = own.target;
	known = bpf_map_lookup_elem(&listener_index, &own);
	if (known)
		return *known;
	t = target_at(target);
	if (!t || bpf_map_pop_elem(&free_listeners, &slot))
		return NO_LISTENER;
	l = listener_at(slot);
	if (!l)
		return NO_LISTENER;
	__builtin_memset(l, 0, sizeof(*l));
	l->key = own;
	l->apart = apart;
	if (own.family)
		l->number = __sync_fetch_and_add(&t->listeners, 1) + 1;
	if (l->number <= MONITOR_LISTENER_NUMBERS && specials_make(l, slot)) {
		if (!bpf_map_update_elem(&listener_index, &own, &slot, BPF_NOEXIST))
			return slot;
		/* another CPU was first, or no memory */
		UNROLLED
		for (int i = 0; i < SPECIAL_ENDPOINTS; ++i)
			special_free(l->special[i]);
	}
	bpf_map_push_elem(&free_listeners, &slot, BPF_ANY);
	known = bpf_map_lookup_elem(&listener_index, &own);
	return known ? *known : NO_LISTENER;
}

#endif
