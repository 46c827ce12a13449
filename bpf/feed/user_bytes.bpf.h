/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Finds the bytes of a receive or send in the process's memory from the registers at syscall entry, and walks them
 * vector by vector. The registers count only if their descriptor is the event's socket, because io_uring and kernel
 * threads run with unrelated registers.
 *
 * recvmmsg and sendmmsg pass several messages. Under the profile "socket" each message makes its own event, with the
 * registers of the whole call; under "syscall" one event at the end of the call covers them all.
 */
#ifndef MONITOR_USER_BYTES_BPF_H
#define MONITOR_USER_BYTES_BPF_H

#include "arch/syscall.bpf.h"
#include "http1/parser.h"
#include "state/conn.bpf.h"
#include <bpf/bpf_core_read.h>

/* A buffer, or a vector of them, in user memory. */
struct user_bytes {
	__u64 base;	   /* next byte */
	__u64 base_left;   /* bytes left in this buffer */
	__u64 vector;	   /* address of the next struct user_iovec */
	__u64 vector_left; /* number of vectors left */
	__u64 left;	   /* bytes of the event not yet taken */
	__u64 message;	   /* next struct user_messages of a call that is over */
	__u64 messages_left;
	__u64 message_left; /* bytes of the current message that have no buffer yet; ~0 without messages */
	__u64 registers_at; /* offset of the registers from the stack's start; see saved_registers */
};

/* Returns the registers of the current task at syscall entry, as bpf_task_pt_regs does. Their offset from the start of
 * the stack is the same for every task, so the helper is called once and the offset is kept. */
static __always_inline const struct pt_regs *saved_registers(struct user_bytes *u, struct task_struct *task)
{
	if (!u->registers_at) {
		/* spill through memory: the verifier rejects subtraction on this pointer */
		WRITE_ONCE(u->registers_at, (__u64)bpf_task_pt_regs(task));
		u->registers_at = READ_ONCE(u->registers_at) - (__u64)task->stack;
	}
	return bpf_rdonly_cast((void *)((__u64)task->stack + u->registers_at), bpf_core_type_id_kernel(struct pt_regs));
}

/* Returns whether descriptor `fd` of the current process is this socket. */
static __always_inline bool fd_is_socket(struct task_struct *task, __u64 fd, struct sock *sk)
{
	struct fdtable *table = task->files->fdt;
	struct socket *socket = sk->sk_socket;
	struct list_head *slot;
	__u64 file;

	if (!socket || (__u32)fd >= table->max_fds)
		return false;
	/* table->fd[fd]: the verifier does not follow pointers out of an array, so read it as a struct's field */
	slot = bpf_rdonly_cast(&table->fd[(__u32)fd], bpf_core_type_id_kernel(struct list_head));
	file = (__u64)slot->next;
	return file && file == (__u64)socket->file;
}

/* Finds the buffers of one message. Returns 0, or -1 if the message header cannot be read. */
static __always_inline int user_bytes_message(struct user_bytes *u, __u64 address)
{
	struct user_message message;

	if (bpf_probe_read_user(&message, sizeof(message), (void *)address))
		return -1;
	u->vector = message.msg_iov;
	u->vector_left = message.msg_iovlen;
	return 0;
}

static int user_bytes_size_step(__u32 i, struct user_bytes **loop)
{
	struct user_bytes *u = *loop;
	struct user_iovec vector;

	if (bpf_probe_read_user(&vector, sizeof(vector), (void *)(u->vector + i * sizeof(vector))))
		return 1;
	u->message_left += vector.iov_len;
	return 0;
}

/*
 * Finds the message that an event of `passed` bytes belongs to, among the `count` at `first` of a recvmmsg or sendmmsg:
 * the one after the previous event's. The call is over after the last message, after a failure (pass_message) and after
 * a message that was sent in part. `passed` is WHOLE_MESSAGE for receives, whose buffers need not be full.
 */
#define WHOLE_MESSAGE (~0U)

GLOBAL_FUNC int user_bytes_next_message(struct user_bytes *u, struct message_cursor *m, __u64 first, __u32 count,
					__u32 passed)
{
	bool partial;
	__u32 index;

	if (!u || !m)
		return -1;
	index = m->vector == (__u32)first ? m->index : 0;
	m->vector = (__u32)first;
	m->index = 0;
	if (user_bytes_message(u, first + (__u64)index * sizeof(struct user_messages)))
		return -1;
	u->message_left = 0;
	bpf_loop(u->vector_left & 2047, user_bytes_size_step, &u, 0);
	partial = u->message_left > passed;
	u->message_left = ~0ULL;
	if (index + 1 < count && !partial)
		m->index = index + 1;
	return 0;
}

static int user_bytes_sum_step(__u32 i, struct user_bytes **loop)
{
	struct user_bytes *u = *loop;
	__u32 length;

	if (bpf_probe_read_user(&length, sizeof(length),
				(void *)(u->message + i * sizeof(struct user_messages) +
					 __builtin_offsetof(struct user_messages, length)))) {
		u->messages_left = 0;
		return 1;
	}
	u->left += length;
	return 0;
}

/* Takes all `count` messages at `first` of a call that is over. Sets u->left to the sum of their bytes, or to 0 if they
 * cannot be read. */
GLOBAL_FUNC int user_bytes_all_messages(struct user_bytes *u, __u64 first, __u32 count)
{
	if (!u)
		return -1;
	u->message = first;
	u->messages_left = count;
	u->message_left = 0;
	u->left = 0;
	bpf_loop(count & 1023, user_bytes_sum_step, &u, 0);
	if (!u->messages_left)
		u->left = 0;
	return 0;
}

/*
 * Finds the buffers of the syscall with these registers, which receives or `sends`. Returns the reason why they cannot
 * be found, or UNDERCOUNT_NONE. `length` bytes passed; `result` is what the call returned, or 0 if it is still running.
 */
static __always_inline int user_bytes_open(struct user_bytes *u, const struct pt_regs *regs, __u64 length,
					   struct message_cursor *cursor, __u32 result, bool sends)
{
	__u64 call = syscall_number(regs);

	u->base_left = 0;
	u->vector_left = 0;
	u->messages_left = 0;
	u->message_left = ~0ULL;
	u->left = length;
	if (sends ? call == SYSCALL_WRITE || call == SYSCALL_SENDTO
		  : call == SYSCALL_READ || call == SYSCALL_RECVFROM) {
		u->base = SYSCALL_ARG2(regs);
		u->base_left = length;
		return 0;
	}
	if (sends ? call == SYSCALL_WRITEV || call == SYSCALL_PWRITEV2
		  : call == SYSCALL_READV || call == SYSCALL_PREADV2) {
		u->vector = SYSCALL_ARG2(regs);
		u->vector_left = SYSCALL_ARG3(regs);
		return 0;
	}
	if (call == (sends ? SYSCALL_SENDMSG : SYSCALL_RECVMSG))
		return user_bytes_message(u, SYSCALL_ARG2(regs)) ? UNDERCOUNT_MEMORY : 0;
	if (call == (sends ? SYSCALL_SENDMMSG : SYSCALL_RECVMMSG)) {
		if (result)
			user_bytes_all_messages(u, SYSCALL_ARG2(regs), result);
		else if (!sends && SYSCALL_ARG5(regs) && SYSCALL_ARG3(regs) > 1)
			return UNDERCOUNT_REGISTERS; /* a timeout can end the call after any message */
		else if (user_bytes_next_message(u, cursor, SYSCALL_ARG2(regs), SYSCALL_ARG3(regs),
						 sends ? length : WHOLE_MESSAGE))
			return UNDERCOUNT_MEMORY;
		return 0;
	}
	if (call == SYSCALL_SPLICE || (sends && call == SYSCALL_SENDFILE))
		return UNDERCOUNT_GAP;
	return UNDERCOUNT_REGISTERS;
}

/* Moves to the next message of a call that is over. Returns 0, or -1 if no message is left or it cannot be read. */
GLOBAL_FUNC int user_bytes_pass_message(struct user_bytes *u)
{
	struct user_messages next;

	if (!u || !u->messages_left || bpf_probe_read_user(&next, sizeof(next), (void *)u->message))
		return -1;
	u->message += sizeof(next);
	u->messages_left -= 1;
	u->message_left = next.length;
	u->vector = next.header.msg_iov;
	u->vector_left = next.header.msg_iovlen;
	return 0;
}

/* Moves to the next vector, which can be empty, or to the next message. Returns 0, or -1 if the memory cannot be read
 * or the vectors hold less than what passed. */
static __always_inline int user_bytes_next(struct user_bytes *u)
{
	struct user_iovec vector;

	if (!u->vector_left || !u->message_left)
		return user_bytes_pass_message(u);
	if (bpf_probe_read_user(&vector, sizeof(vector), (void *)u->vector))
		return -1;
	u->vector += sizeof(vector);
	u->vector_left -= 1;
	u->base = vector.iov_base;
	u->base_left = vector.iov_len < u->message_left ? vector.iov_len : u->message_left;
	u->message_left -= u->base_left;
	return 0;
}

static __always_inline void user_bytes_advance(struct user_bytes *u, __u64 count)
{
	u->base += count;
	u->base_left -= count;
	u->left -= count;
}

/*
 * Gives the parser more bytes: skips bytes of a body unread, or puts the next ones into the window after the carried
 * ones. Returns HTTP1_MORE if the event has no bytes left, HTTP1_ERROR if they cannot be read (u->left is not 0 then).
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
	barrier_var(at);
	barrier_var(count);
	at &= 255;
	if (count > HTTP1_FILL || bpf_probe_read_user(w->bytes + at, count, (void *)u->base))
		return HTTP1_ERROR;
	w->end += count;
	user_bytes_advance(u, count);
	return HTTP1_AGAIN;
}

#endif
