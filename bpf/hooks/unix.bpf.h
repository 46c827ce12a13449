/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The hooks on Unix stream sockets, loaded and attached only if a target listens on one. Their records are by address
 * under both profiles, because closing a Unix socket makes no event. The entry of close() shows the server's close if
 * the descriptor is the last one, and that of shutdown() shows it too. The server's next call shows the client's close.
 * The sweep at each sample finds the rest (close_range, dup2 over the descriptor, the end of the process). The entry of
 * listen() shows a process that takes the place of a root which has ended.
 *
 * Unix sockets have no sequence numbers: bytes without an event (splice, io_uring) go unnoticed until the stream stops
 * making sense.
 */
#ifndef MONITOR_UNIX_BPF_H
#define MONITOR_UNIX_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "account/close.bpf.h"
#include "account/close_events.bpf.h"
#include "account/handover.bpf.h"
#include "account/open.bpf.h"
#include "arch/syscall.bpf.h"
#include "feed/byte_source.bpf.h"
#include "feed/streams.bpf.h"
#include "feed/syscall_source.bpf.h"
#include "state/conn.bpf.h"
#include "state/counters.bpf.h"
#include "state/records.bpf.h"
#include "state/socket_info.bpf.h"

/* Casts a socket that is known to be a Unix socket. */
static __always_inline struct unix_sock *as_unix(struct sock *sk)
{
	return bpf_rdonly_cast(sk, bpf_core_type_id_kernel(struct unix_sock));
}

/* Returns the record for a hook of the profile "socket", or NULL if the event is irrelevant. */
static __always_inline struct conn *unix_open(struct sock *sk, int ret)
{
	struct opening o = {};
	struct conn *c;
	__u32 pid;

	if (sk->__sk_common.skc_family != AF_UNIX)
		return NULL;
	pid = bpf_get_current_task_btf()->tgid;
	if (!is_followed(pid) &&
	    (ret <= 0 || !is_orphaned() || !may_serve_name(as_unix(sk)->addr) || !join_by_reading(sk, pid, 0)))
		return NULL;
	socket_info_read(&o.socket, sk);
	c = addressed_open(&o, pid, ret > 0 ? ret : 0);
	return c && c->role == ROLE_SERVER ? c : NULL;
}

SEC("tp_btf/sock_recv_length")
int BPF_PROG(on_unix_received, struct sock *sk, int ret, int flags)
{
	struct conn *c;

	if (flags & MSG_ASIDE)
		return 0;
	c = unix_open(sk, ret);
	if (!c)
		return 0;
	if (ret <= 0) {
		nothing_passed(c, ret);
		catch_up_client(c, sk);
	} else if (!(c->flags & (CONN_IGNORED | CONN_TUNNEL))) {
		received(c, &(struct byte_source){.sk = sk}, ret, 0, !(flags & MSG_TRUNC));
	}
	return 0;
}

SEC("tp_btf/sock_send_length")
int BPF_PROG(on_unix_sent, struct sock *sk, int ret, int flags)
{
	struct conn *c = unix_open(sk, 0);

	if (!c)
		return 0;
	if (ret <= 0) {
		nothing_passed(c, ret);
		catch_up_client(c, sk);
	} else {
		sent(c, &(struct byte_source){.sk = sk}, ret, 0);
	}
	return 0;
}

/* struct file before Linux 6.13 */
struct file___counted {
	struct {
		long counter;
	} f_count;
} __attribute__((preserve_access_index));

/* struct file since Linux 6.13; counts from 0 (include/linux/file_ref.h) */
struct file___referenced {
	struct {
		struct {
			long counter;
		} refcnt;
	} f_ref;
} __attribute__((preserve_access_index));

/* Returns whether the caller's descriptor is the only reference to the file. */
static __always_inline bool is_last_holder(struct file *file)
{
	struct file___counted *counted = (struct file___counted *)file;

	if (bpf_core_field_exists(counted->f_count))
		return BPF_CORE_READ(counted, f_count.counter) == 1;
	return BPF_CORE_READ((struct file___referenced *)file, f_ref.refcnt.counter) == 0;
}

/* Process `pid` calls listen() on socket `sk`. */
static __always_inline void begins_to_listen(struct sock *sk, __u32 pid)
{
	if (BPF_CORE_READ(sk, __sk_common.skc_family) != AF_UNIX)
		return;
	if (!is_followed(pid))
		join_by_listening(sk, pid);
	post_listen(pid);
}

/* The entry of close(), or of a shutdown() for sending, which ends the server's side as well as a close. Also that of
 * listen(), whose exit would cost a program of its own. */
SEC("tp_btf/sys_enter")
int BPF_PROG(on_close, struct pt_regs *regs, long id)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct compat_call compat = {};
	struct socket_info f;
	__u64 fd, how;
	struct sock *sk;
	struct conn *c;

	if (!syscall_may_close(id) || (!is_followed(task->tgid) && !syscall_may_listen(id)))
		return 0;
	if (syscall_is_compat(task)) {
		compat_call_read(&compat, regs);
		compat_call_translate(&compat);
		id = compat.number;
		fd = compat.arguments[0];
		how = compat.arguments[1];
	} else {
		fd = SYSCALL_ARG1(regs);
		how = SYSCALL_ARG2(regs);
	}
	if (id != SYSCALL_LISTEN &&
	    (!is_followed(task->tgid) || (id != SYSCALL_CLOSE && (id != SYSCALL_SHUTDOWN || (__u32)how == SHUT_RD))))
		return 0;
	sk = fd_sock(task, fd);
	if (!sk)
		return 0;
	if (id == SYSCALL_LISTEN) {
		begins_to_listen(sk, task->tgid);
		return 0;
	}
	socket_info_read(&f, sk);
	if (f.family != AF_UNIX)
		return 0;
	c = addressed_find(&f);
	if (!c || (id == SYSCALL_CLOSE && !is_last_holder(BPF_CORE_READ(sk, sk_socket, file))))
		return 0;
	if (client_has_gone(sk) || BPF_CORE_READ(sk, sk_shutdown) == RCV_SHUTDOWN)
		conn_close(c, CLOSE_BY_CLIENT);
	else
		conn_close(c, CLOSE_BY_SERVER);
	return 0;
}

#endif
