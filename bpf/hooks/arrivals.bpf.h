/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hook on arriving bytes (profile "socket"): a request waits from then on, also in the accept queue, where no
 * process knows its connection yet. The kernel calls sk_data_ready under the socket's lock, when the bytes are in the
 * receive queue (net/ipv4/tcp_input.c, tcp_data_ready).
 */
#ifndef MONITOR_ARRIVALS_BPF_H
#define MONITOR_ARRIVALS_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/handover.bpf.h"
#include "state/arrivals.h"
#include "state/conn.bpf.h"
#include "state/maps.bpf.h"
#include "state/records.bpf.h"
#include "state/socket_info.bpf.h"

/* Bytes have arrived on any socket of the machine. One that is no connection of a target costs a load, unless its local
 * port is one on which a target serves. */
SEC("tp_btf/sk_data_ready")
int BPF_PROG(on_arrival, struct sock *sk)
{
	__u16 port = sk->__sk_common.skc_num;
	struct arrivals *a;
	struct tcp_sock *tcp;
	struct conn *c;

	if (!may_serve_port(port) || sk->__sk_common.skc_state == TCP_LISTEN || sk->sk_protocol != IPPROTO_TCP)
		return 0;
	c = conn_of(sk);
	if (c && c->role != ROLE_SERVER)
		return 0;
	a = c ? &c->arrivals : bpf_sk_storage_get(&early_arrivals, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!a)
		return 0;
	tcp = bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct tcp_sock));
	arrivals_note(a, tcp->rcv_nxt, tcp->copied_seq, bpf_ktime_get_ns());
	return 0;
}

#endif
