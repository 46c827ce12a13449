/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Finds the record of a connection: in the socket's local storage if the program is given the socket, otherwise in a
 * hash keyed by the socket's address.
 */
#ifndef MONITOR_STATE_RECORDS_BPF_H
#define MONITOR_STATE_RECORDS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "state/conn.bpf.h"
#include "state/maps.bpf.h"
#include "state/socket_info.bpf.h"

/* Returns the record of a TCP connection, or NULL. Nearly all sockets of the machine have no storage at all: they cost
 * a load and no call. */
static __always_inline struct conn *conn_of(struct sock *sk)
{
	return sk->sk_bpf_storage ? bpf_sk_storage_get(&connections, sk, 0, 0) : NULL;
}

/* Returns the record by address, or NULL if the record there belongs to an earlier socket. */
static __always_inline struct conn *addressed_find(const struct socket_info *f)
{
	__u64 address = (__u64)f->sk;
	struct conn *c = bpf_map_lookup_elem(&addressed_connections, &address);

	return c && c->inode == f->inode ? c : NULL;
}

/* Returns the record of a socket, from the socket's storage or by address. */
static __always_inline struct conn *record_of(struct sock *sk, const struct socket_info *f)
{
	if (by_address || !f->tcp)
		return addressed_find(f);
	return bpf_sk_storage_get(&connections, sk, 0, 0);
}

/* Returns the record of a TCP socket that closes. A record by address may belong to an earlier socket whose close was
 * lost; closing it now is right too. */
static __always_inline struct conn *closing_record(struct sock *sk)
{
	__u64 address = (__u64)sk;

	return by_address ? bpf_map_lookup_elem(&addressed_connections, &address)
			  : bpf_sk_storage_get(&connections, sk, 0, 0);
}

#endif
