/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Where the bytes of a receive or send lie in the process's memory: found from the registers that the syscall was
 * entered with, and walked vector by vector. The registers are believed only if the descriptor in them is the very
 * socket of the event: io_uring and kernel threads run with registers of something else.
 */
#ifndef MONITOR_USER_BYTES_BPF_H
#define MONITOR_USER_BYTES_BPF_H

#include "http1.h"
#include <bpf/bpf_tracing.h>

/* A buffer, or a vector of them, in user memory. */
struct user_bytes {
	__u64 base;	   /* next byte */
	__u64 base_left;   /* bytes from there on in this buffer */
	__u64 vector;	   /* next struct user_iovec */
	__u64 vector_left; /* how many of them */
	__u64 left;	   /* bytes of the event not yet taken */
};

/* arch/x86/entry/syscalls/syscall_64.tbl */
enum {
	SYSCALL_READ = 0,
	SYSCALL_WRITE = 1,
	SYSCALL_READV = 19,
	SYSCALL_WRITEV = 20,
	SYSCALL_SENDTO = 44,
	SYSCALL_RECVFROM = 45,
	SYSCALL_SENDMSG = 46,
	SYSCALL_RECVMSG = 47,
	SYSCALL_PREADV2 = 327,
	SYSCALL_PWRITEV2 = 328,
};

/* Whether descriptor `fd` of the current process is this socket. */
static __always_inline bool fd_is_socket(struct task_struct *task, __u64 fd, struct sock *sk)
{
	struct fdtable *table = task->files->fdt;
	struct socket *socket = sk->sk_socket;
	struct list_head *slot;
	__u64 file;

	if (!socket || (__u32)fd >= table->max_fds)
		return false;
	/* table->fd[fd]: the table is an array of pointers, and the verifier follows none out of it */
	slot = bpf_rdonly_cast(&table->fd[(__u32)fd], bpf_core_type_id_kernel(struct list_head));
	file = (__u64)slot->next;
	return file && file == (__u64)socket->file;
}

/*
 * Finds the buffers of the syscall that `task`, the current one, is in. 0, or the enum monitor_undercount + 1 of why
 * they can't be known. `length` bytes passed.
 */
static __always_inline int user_bytes_open(struct user_bytes *u, struct sock *sk, struct task_struct *task,
					   __u64 length)
{
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	struct user_message message;

	u->base_left = 0;
	u->vector_left = 0;
	u->left = length;
	if (!fd_is_socket(task, regs->di, sk))
		return UNDERCOUNT_REGISTERS + 1;
	switch (regs->orig_ax) {
	case SYSCALL_READ:
	case SYSCALL_WRITE:
	case SYSCALL_SENDTO:
	case SYSCALL_RECVFROM:
		u->base = regs->si;
		u->base_left = length;
		return 0;
	case SYSCALL_READV:
	case SYSCALL_WRITEV:
	case SYSCALL_PREADV2:
	case SYSCALL_PWRITEV2:
		u->vector = regs->si;
		u->vector_left = regs->dx;
		return 0;
	case SYSCALL_SENDMSG:
	case SYSCALL_RECVMSG:
		if (bpf_probe_read_user(&message, sizeof(message), (void *)regs->si))
			return UNDERCOUNT_MEMORY + 1;
		u->vector = message.msg_iov;
		u->vector_left = message.msg_iovlen;
		return 0;
	default:
		return UNDERCOUNT_REGISTERS + 1;
	}
}

/* Makes base_left non-zero when there are bytes left, or takes one empty vector off. 0, or -1 when the memory can't be
 * read or the vectors hold less than what passed. */
static __always_inline int user_bytes_next(struct user_bytes *u)
{
	struct user_iovec vector;

	if (!u->vector_left || bpf_probe_read_user(&vector, sizeof(vector), (void *)u->vector))
		return -1;
	u->vector += sizeof(vector);
	u->vector_left -= 1;
	u->base = vector.iov_base;
	u->base_left = vector.iov_len;
	return 0;
}

static __always_inline void user_bytes_advance(struct user_bytes *u, __u64 count)
{
	u->base += count;
	u->base_left -= count;
	u->left -= count;
}

/*
 * Gives the parser more: skips bytes of a body unseen, or puts the next ones into the window behind what is carried.
 * HTTP1_MORE when the event has no bytes left, HTTP1_ERROR when they can't be read (u->left is not 0 then).
 */
static __always_inline enum http1_event user_bytes_fill(struct user_bytes *u, struct http1_stream *s,
							struct http1_window *w)
{
	__u64 count = u->base_left < u->left ? u->base_left : u->left;
	__u64 skip, at;

	if (!u->left)
		return HTTP1_MORE;
	if (!count)
		return user_bytes_next(u) ? HTTP1_ERROR : HTTP1_AGAIN;
	skip = http1_skippable(s);
	if (skip) {
		if (count > skip)
			count = skip;
		user_bytes_advance(u, count);
		return http1_skip(s, count);
	}
	http1_close_window(s, w);
	http1_open_window(s, w);
	if (count > HTTP1_FILL)
		count = HTTP1_FILL;
	at = w->end & 255; /* at most HTTP1_CARRY */
	keep_bound(at);
	keep_bound(count);
	at &= 255;
	if (count > HTTP1_FILL || bpf_probe_read_user(w->bytes + at, count, (void *)u->base))
		return HTTP1_ERROR;
	w->end += count;
	user_bytes_advance(u, count);
	return HTTP1_AGAIN;
}

#endif
