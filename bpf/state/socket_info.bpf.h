/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Reads a kernel socket outside of the hot path. It copies what it needs, so that the same code serves programs that
 * get a socket from the kernel, programs that only found its address, and kernels of any age.
 */
#ifndef MONITOR_SOCKET_INFO_BPF_H
#define MONITOR_SOCKET_INFO_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "lib/pure.h"
#include "state/mptcp.bpf.h"

struct socket_info {
	struct sock *sk;
	__u64 inode; /* of its file, unique while the machine runs; 0 without one */
	__u32 copied_seq;
	__u32 write_seq;
	__u16 family;
	__u16 port;  /* local, host byte order; 0 for Unix sockets */
	__u8 state;  /* TCP_*; Unix sockets use the same numbers */
	bool tcp;    /* a TCP connection, also if it is Multipath TCP */
	bool mptcp;  /* a Multipath TCP socket: it is no struct tcp_sock */
	bool counts; /* copied_seq is known, so that bytes without an event show as a gap */
	bool stream; /* a TCP connection or a connected Unix stream socket */
	bool named;  /* a Unix socket with a name, which an accepted one inherits from its listener */
};

static __always_inline void socket_info_read(struct socket_info *f, struct sock *sk)
{
	__u16 type = BPF_CORE_READ(sk, sk_type), protocol;
	struct tcp_sock *tcp = (struct tcp_sock *)sk;

	__builtin_memset(f, 0, sizeof(*f));
	f->sk = sk;
	f->inode = BPF_CORE_READ(sk, sk_socket, file, f_inode, i_ino);
	f->family = BPF_CORE_READ(sk, __sk_common.skc_family);
	f->state = BPF_CORE_READ(sk, __sk_common.skc_state);
	if (type != SOCK_STREAM)
		return;
	if (f->family == AF_UNIX) {
		f->stream = true;
		f->named = BPF_CORE_READ((struct unix_sock *)sk, addr) != NULL;
		return;
	}
	if (f->family != AF_INET && f->family != AF_INET6)
		return;
	protocol = BPF_CORE_READ(sk, sk_protocol);
	if (protocol != IPPROTO_TCP && protocol != IPPROTO_MPTCP)
		return;
	f->stream = true;
	f->tcp = true;
	f->port = BPF_CORE_READ(sk, __sk_common.skc_num);
	if (protocol == IPPROTO_MPTCP) {
		f->mptcp = true;
		f->counts = mptcp_counts();
		f->copied_seq = mptcp_bytes_read(sk, 0);
		f->write_seq = mptcp_write_seq(sk);
	} else {
		f->counts = true;
		f->copied_seq = BPF_CORE_READ(tcp, copied_seq);
		f->write_seq = BPF_CORE_READ(tcp, write_seq);
	}
}

/* Returns a number for the name at `name`, the kernel's address of a struct unix_address. A global function, so that
 * the verifier goes through its 14 iterations once. Global functions take no kernel pointers. */
GLOBAL_FUNC __u64 unix_name_number(__u64 name)
{
	struct unix_address *address = (struct unix_address *)name;
	__u32 length = BPF_CORE_READ(address, len) - sizeof(__u16), size;
	__u64 number = 0, word;

	ROLLED
	for (__u32 at = 0; at < UNIX_PATH_MAX; at += sizeof(word)) {
		if (at >= length)
			break;
		size = length - at;
		if (size > sizeof(word))
			size = sizeof(word);
		barrier_var(size); /* Linux 6.1 loses its bound, because the compiler compares a copy */
		size = ((size - 1) & (sizeof(word) - 1)) + 1;
		word = 0;
		bpf_probe_read_kernel(&word, size, &address->name[0].sun_path[at]);
		/* any odd constant whose bits are mixed */
		number = (number ^ word) * 0x9e3779b97f4a7c15ULL;
		number ^= number >> 32;
	}
	return number;
}

/* Writes struct monitor_unix_address of a Unix socket, or zeros if the socket has no name. */
static __always_inline void unix_address_read(struct sock *sk, __u8 *to)
{
	struct unix_address *address = BPF_CORE_READ((struct unix_sock *)sk, addr);
	struct monitor_unix_address *out = (struct monitor_unix_address *)to;

	out->number = address ? unix_name_number((__u64)address) : 0;
	out->length = address ? BPF_CORE_READ(address, len) - sizeof(__u16) : 0;
}

/* Returns whether other sockets can have the address of this TCP socket at the same time (SO_REUSEPORT). */
static __always_inline bool socket_shares_port(struct sock *sk)
{
	return BPF_CORE_READ_BITFIELD_PROBED(&sk->__sk_common, skc_reuseport);
}

/* Returns whether this end of a TCP connection has sent bytes. */
static __always_inline bool socket_info_has_sent(const struct socket_info *f)
{
	struct sock *sk = f->sk;

	return f->mptcp ? mptcp_has_sent(sk) : BPF_CORE_READ((struct tcp_sock *)sk, bytes_sent) != 0;
}

/* Returns the current write_seq of a TCP connection. */
static __always_inline __u32 socket_info_write_seq(const struct socket_info *f)
{
	struct sock *sk = f->sk;

	return f->mptcp ? mptcp_write_seq(sk) : BPF_CORE_READ((struct tcp_sock *)sk, write_seq);
}

/*
 * Returns the sequence number of the client's first byte: the value of copied_seq before the first read. The kernel
 * does not keep it; rcv_nxt minus the number of received bytes gives it. A segment that arrives between the two reads
 * makes it wrong, so a value other than `expected` is read again. Multipath TCP counts from 0.
 */
static __always_inline __u32 socket_info_start(const struct socket_info *f, __u32 expected)
{
	struct tcp_sock *tcp = (struct tcp_sock *)f->sk;
	__u32 start = 0;

	if (f->mptcp)
		return 0;
	for (int i = 0; i < 8; ++i) {
		start = BPF_CORE_READ(tcp, rcv_nxt) - (__u32)BPF_CORE_READ(tcp, bytes_received);
		if (start == expected)
			break;
	}
	return start;
}

/* Returns whether a TCP connection was accepted. Its socket is a copy of the listener's, with the length of its accept
 * queue (net/core/sock.c, sk_clone_lock); one that connects has 0 there. A listener with a queue of 0 does, too. */
static __always_inline bool socket_info_was_accepted(const struct socket_info *f)
{
	struct sock *sk = f->sk;

	return BPF_CORE_READ(sk, sk_max_ack_backlog) != 0;
}

/* Returns 1 if the server has read the client's FIN, which has a sequence number of its own except with Multipath TCP,
 * otherwise 0. */
static __always_inline __u32 socket_info_fin_read(const struct socket_info *f)
{
	struct tcp_sock *tcp = (struct tcp_sock *)f->sk;
	struct sock *sk = f->sk;

	return !f->mptcp && (BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN) &&
	       BPF_CORE_READ(tcp, rcv_nxt) == f->copied_seq;
}

/*
 * Returns whether a request is under way on this connection: the server has read everything that came, and it came
 * after the last send. The kernel's times are in jiffies; a request that came and a response that went in the same
 * jiffy (4 ms) count as answered.
 */
static __always_inline bool socket_info_under_way(const struct socket_info *f)
{
	struct tcp_sock *tcp = (struct tcp_sock *)f->sk;
	__u32 received, sent, unread;
	struct sock *sk = f->sk;

	if (f->mptcp)
		return mptcp_under_way(sk);
	received = BPF_CORE_READ((struct inet_connection_sock *)tcp, icsk_ack.lrcvtime);
	sent = BPF_CORE_READ(tcp, lsndtime);
	unread = BPF_CORE_READ(tcp, rcv_nxt) - f->copied_seq;
	/* the client's FIN has a sequence number of its own until it is read */
	if (unread > 1 || (unread == 1 && !(BPF_CORE_READ(sk, sk_shutdown) & RCV_SHUTDOWN)))
		return false;
	/* nothing was read, except perhaps a FIN */
	if (f->copied_seq - socket_info_fin_read(f) == socket_info_start(f, f->copied_seq - socket_info_fin_read(f)))
		return false;
	return !BPF_CORE_READ(tcp, bytes_sent) || (__s32)(received - sent) > 0;
}

/*
 * Returns for how many milliseconds no bytes have passed, or 0 if the server has not read any or has some unread. The
 * kernel's times are in jiffies. A connection's icsk_delack_max is a fifth of a second in jiffies (include/net/tcp.h,
 * TCP_DELACK_MAX).
 */
static __always_inline __u32 socket_info_quiet_ms(const struct socket_info *f)
{
	struct inet_connection_sock *icsk = (struct inet_connection_sock *)f->sk;
	struct tcp_sock *tcp = (struct tcp_sock *)f->sk;
	__u32 now = bpf_jiffies64(), hz = BPF_CORE_READ(icsk, icsk_delack_max) * 5;
	__u32 received = now - BPF_CORE_READ(icsk, icsk_ack.lrcvtime);
	__u32 sent = now - BPF_CORE_READ(tcp, lsndtime);
	__u32 quiet = received < sent ? received : sent;

	if (f->mptcp || hz < 100 || !BPF_CORE_READ(tcp, bytes_received) || BPF_CORE_READ(tcp, rcv_nxt) != f->copied_seq)
		return 0;
	return (__u64)quiet * 1000 / hz;
}

/* Returns for how many nanoseconds the last bytes that were received have waited, at least: in whole jiffies. See above
 * for how many of them a second has. */
static __always_inline __u64 socket_info_waited_ns(const struct socket_info *f)
{
	struct inet_connection_sock *icsk = (struct inet_connection_sock *)f->sk;
	__u32 hz = BPF_CORE_READ(icsk, icsk_delack_max) * 5;
	__u32 waited = (__u32)bpf_jiffies64() - BPF_CORE_READ(icsk, icsk_ack.lrcvtime);

	return waited < 2 || (__s32)waited < 0 || hz < 100 ? 0 : (__u64)(waited - 1) * 1000000000 / hz;
}

/* Returns the socket of descriptor `fd` of the current process, or NULL if the descriptor is not a socket. */
static __always_inline struct sock *fd_sock(struct task_struct *task, __u64 fd)
{
	struct fdtable *table = task->files->fdt;
	struct socket *socket;
	struct file *file;

	if ((__u32)fd >= table->max_fds || bpf_probe_read_kernel(&file, sizeof(file), &table->fd[(__u32)fd]) || !file)
		return NULL;
	if ((BPF_CORE_READ(file, f_inode, i_mode) & S_IFMT) != S_IFSOCK)
		return NULL;
	/* net/socket.c, sock_from_file */
	socket = BPF_CORE_READ(file, private_data);
	return BPF_CORE_READ(socket, sk);
}

#endif
