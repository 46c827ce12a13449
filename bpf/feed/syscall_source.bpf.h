/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The byte source of the system calls: finds the bytes of a receive or send from the registers that the call was
 * entered with. The registers count only if their descriptor is the event's socket, because io_uring and kernel threads
 * run with unrelated registers.
 *
 * recvmmsg and sendmmsg pass several messages. Under the profile "socket" each message makes its own event, with the
 * registers of the whole call; under "syscall" one event at the end of the call covers them all.
 */
#ifndef MONITOR_SYSCALL_SOURCE_BPF_H
#define MONITOR_SYSCALL_SOURCE_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include <monitor/abi.h>

#include "arch/syscall.bpf.h"
#include "feed/scratch.bpf.h"
#include "feed/user_bytes.bpf.h"
#include "lib/pure.h"
#include "state/conn.bpf.h"

/* Returns the registers of the current task at syscall entry, as bpf_task_pt_regs does. Their offset from the start of
 * the stack is the same for every task, so the helper is called once and the offset is kept. */
static __always_inline const struct pt_regs *saved_registers(struct walk_scratch *x, struct task_struct *task)
{
	if (!x->registers_at) {
		/* spill through memory: the verifier rejects subtraction on this pointer */
		WRITE_ONCE(x->registers_at, (__u64)bpf_task_pt_regs(task));
		x->registers_at = READ_ONCE(x->registers_at) - (__u64)task->stack;
	}
	return bpf_rdonly_cast((void *)((__u64)task->stack + x->registers_at), bpf_core_type_id_kernel(struct pt_regs));
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

/* Finds the buffers of one message. Returns 0, or -1 if the message header cannot be read. `narrow` is u->narrow, which
 * the caller may know at compile time. */
static __always_inline int user_bytes_message(struct user_bytes *u, __u64 address, bool narrow)
{
	struct user_message32 narrow_header;
	struct user_message message;

	if (narrow) {
		if (bpf_probe_read_user(&narrow_header, sizeof(narrow_header), (void *)address))
			return -1;
		narrow_message(u, &narrow_header);
		return 0;
	}

	if (bpf_probe_read_user(&message, sizeof(message), (void *)address))
		return -1;
	u->vector = message.msg_iov;
	u->vector_left = message.msg_iovlen;
	return 0;
}

static int user_bytes_size_step(__u32 i, struct user_bytes **loop)
{
	struct user_bytes *u = *loop;
	struct user_iovec32 narrow;
	struct user_iovec vector;

	if (u->narrow) {
		if (bpf_probe_read_user(&narrow, sizeof(narrow), (void *)(u->narrow_vector + i * sizeof(narrow))))
			return 1;
		u->message_left += narrow.iov_len;
		return 0;
	}
	if (bpf_probe_read_user(&vector, sizeof(vector), (void *)(u->vector + i * sizeof(vector))))
		return 1;
	u->message_left += vector.iov_len;
	return 0;
}

/* The size of an element in the array of a recvmmsg or sendmmsg, and where its length is. */
static __always_inline __u32 messages_size(const struct user_bytes *u)
{
	return u->narrow ? sizeof(struct user_messages32) : sizeof(struct user_messages);
}

static __always_inline __u32 messages_length_at(const struct user_bytes *u)
{
	return u->narrow ? __builtin_offsetof(struct user_messages32, length)
			 : __builtin_offsetof(struct user_messages, length);
}

/* For `passed` below: receives do not need to fill the buffers of a message. */
#define WHOLE_MESSAGE (~0U)

/*
 * Finds the message of an event in a recvmmsg or sendmmsg that is still running: the one after the previous event's.
 * `first` is the address of the call's `count` messages, `passed` the number of bytes in the event. Moves the position
 * to the next message, or back to the first if the call is over: after the last message, and after one that was sent in
 * part. After a failure, pass_message does so. Returns 0, or -1 if the message cannot be read.
 */
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
	if (user_bytes_message(u, first + (__u64)index * messages_size(u), u->narrow))
		return -1;
	u->message_left = 0;
	bpf_loop((u->narrow ? u->narrow_left : u->vector_left) & 2047, user_bytes_size_step, &u, 0);
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
				(void *)(u->message + i * messages_size(u) + messages_length_at(u)))) {
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
	bpf_loop(count, user_bytes_sum_step, &u, 0);
	if (!u->messages_left)
		u->left = 0;
	return 0;
}

/*
 * Fills in `u` with the buffers of the system call with these registers, a send if `sends`, otherwise a receive.
 * `length` is the number of bytes in the event, `result` what the call returned, or 0 if it is still running. Returns
 * the reason why the buffers cannot be found, or UNDERCOUNT_NONE.
 */
static __always_inline int syscall_find_bytes(struct user_bytes *u, const struct pt_regs *regs, __u64 length,
					      struct message_cursor *position, __u32 result, bool sends)
{
	__u64 call = syscall_number(regs);

	u->base_left = 0;
	u->vector_left = 0;
	u->messages_left = 0;
	u->message_left = ~0ULL;
	u->narrow = 0;
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
		return user_bytes_message(u, SYSCALL_ARG2(regs), false) ? UNDERCOUNT_MEMORY : 0;
	if (call == (sends ? SYSCALL_SENDMMSG : SYSCALL_RECVMMSG)) {
		if (result)
			user_bytes_all_messages(u, SYSCALL_ARG2(regs), result);
		else if (!sends && SYSCALL_ARG5(regs) && SYSCALL_ARG3(regs) > 1)
			return UNDERCOUNT_REGISTERS; /* a timeout can end the call after any message */
		else if (user_bytes_next_message(u, position, SYSCALL_ARG2(regs), SYSCALL_ARG3(regs),
						 sends ? length : WHOLE_MESSAGE))
			return UNDERCOUNT_MEMORY;
		return 0;
	}
	if (call == SYSCALL_SPLICE || (sends && call == SYSCALL_SENDFILE))
		return UNDERCOUNT_GAP;
	return UNDERCOUNT_REGISTERS;
}

/*
 * Does the same for the call of a 32-bit program. The number of bytes in the event is in u->left. The calls that have
 * no 32-bit counterpart here are UNDERCOUNT_COMPAT.
 */
GLOBAL_FUNC int compat_find_bytes(struct user_bytes *u, const struct compat_call *call, struct message_cursor *position,
				  __u32 result, bool sends)
{
	__u32 number;

	if (!u || !call)
		return UNDERCOUNT_COMPAT;
	number = call->number;
	u->base_left = 0;
	u->vector_left = 0;
	u->messages_left = 0;
	u->message_left = ~0ULL;
	u->narrow = 1;
	u->narrow_left = 0;
	if (sends ? number == SYSCALL_WRITE || number == SYSCALL_SENDTO
		  : number == SYSCALL_READ || number == SYSCALL_RECVFROM) {
		u->base = call->arguments[1];
		u->base_left = u->left;
		return 0;
	}
	if (sends ? number == SYSCALL_WRITEV || number == SYSCALL_PWRITEV2
		  : number == SYSCALL_READV || number == SYSCALL_PREADV2) {
		u->narrow_vector = call->arguments[1];
		u->narrow_left = call->arguments[2];
		return 0;
	}
	if (number == (sends ? SYSCALL_SENDMSG : SYSCALL_RECVMSG))
		return user_bytes_message(u, call->arguments[1], true) ? UNDERCOUNT_MEMORY : 0;
	if (number == (sends ? SYSCALL_SENDMMSG : SYSCALL_RECVMMSG)) {
		if (result)
			user_bytes_all_messages(u, call->arguments[1], result);
		else if (!sends && call->arguments[4] && call->arguments[2] > 1)
			return UNDERCOUNT_REGISTERS;
		else if (user_bytes_next_message(u, position, call->arguments[1], call->arguments[2],
						 sends ? (__u32)u->left : WHOLE_MESSAGE))
			return UNDERCOUNT_MEMORY;
		return 0;
	}
	if (number == SYSCALL_SPLICE || (sends && number == SYSCALL_SENDFILE))
		return UNDERCOUNT_GAP;
	return UNDERCOUNT_COMPAT;
}

/* Finds the bytes of an event in the running system call of a 32-bit program, if it is one on socket `sk`. */
static __attribute__((noinline)) int compat_find_running(struct walk_scratch *x, struct sock *sk, __u64 length,
							 struct message_cursor *position, bool sends)
{
	struct task_struct *task = bpf_get_current_task_btf();
	const struct pt_regs *regs = saved_registers(x, task);
	bool running = syscall_is_running(regs);

	compat_call_read(&x->compat, regs);
	compat_call_translate(&x->compat);
	if (!running || !fd_is_socket(task, x->compat.arguments[0], sk))
		return x->compat.number == SYSCALL_SPLICE ? UNDERCOUNT_GAP : UNDERCOUNT_COMPAT;
	x->bytes.left = length;
	return compat_find_bytes(&x->bytes, &x->compat, position, 0, sends);
}

/* Finds the bytes of an event in a system call of a 32-bit program that is over. */
static __attribute__((noinline)) int compat_find_ended(struct walk_scratch *x, const struct pt_regs *regs, __u64 length,
						       __u32 result, bool sends)
{
	compat_call_read(&x->compat, regs);
	compat_call_translate(&x->compat);
	x->bytes.left = length;
	return compat_find_bytes(&x->bytes, &x->compat, NULL, result, sends);
}

/* Returns the address of the datagram that the system call with these registers received, and sets `size` to the room
 * there; 0 if it is unknown. Of a recvmmsg it is the first datagram. Only the first buffer counts, which is where the
 * head of a datagram is. */
static __always_inline __u64 syscall_datagram(const struct pt_regs *regs, __u64 *size)
{
	__u64 call = syscall_number(regs), vectors = SYSCALL_ARG2(regs);
	struct user_iovec vector;

	*size = ~0ULL;
	if (call == SYSCALL_READ || call == SYSCALL_RECVFROM)
		return vectors;
	if (call == SYSCALL_RECVMSG || call == SYSCALL_RECVMMSG) {
		vectors += __builtin_offsetof(struct user_message, msg_iov);
		if (bpf_probe_read_user(&vectors, sizeof(vectors), (void *)vectors))
			return 0;
	} else if (call != SYSCALL_READV && call != SYSCALL_PREADV2) {
		return 0;
	}
	if (bpf_probe_read_user(&vector, sizeof(vector), (void *)vectors))
		return 0;
	*size = vector.iov_len;
	return vector.iov_base;
}

/* Moves the connection's position in a recvmmsg or sendmmsg past a message of `result` bytes that is not read, or back
 * to the first message if the call failed. */
GLOBAL_FUNC int pass_message(struct conn *c, __s32 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);
	__u64 number = syscall_number(regs), first = SYSCALL_ARG2(regs), count = SYSCALL_ARG3(regs);
	bool narrow = syscall_is_compat(task), sends;
	struct compat_call call = {};
	struct walk_scratch *x;
	__u32 zero = 0;

	if (narrow) {
		compat_call_read(&call, regs);
		compat_call_translate(&call);
		number = call.number;
		first = call.arguments[1];
		count = call.arguments[2];
	}
	sends = number == SYSCALL_SENDMMSG;
	if (!c || (!sends && number != SYSCALL_RECVMMSG))
		return 0;
	x = sends ? bpf_map_lookup_elem(&send_scratch, &zero) : bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!x)
		return 0;
	x->bytes.narrow = narrow;
	if (sends && result < 0)
		c->sending.index = 0;
	else if (sends)
		user_bytes_next_message(&x->bytes, &c->sending, first, count, result);
	else if (result < 0)
		c->receiving.index = 0;
	else
		user_bytes_next_message(&x->bytes, &c->receiving, first, count, WHOLE_MESSAGE);
	return 0;
}

/* Returns whether recvmmsg or sendmmsg was ever used on the connection, so that pass_message is needed. */
static __always_inline bool has_messages(const struct conn *c)
{
	return c->sending.vector | c->receiving.vector;
}

/* A call failed or moved no bytes. */
static __always_inline void nothing_passed(struct conn *c, int result)
{
	if (!result || has_messages(c))
		pass_message(c, result);
}

/* Returns the sum of the bytes in the `count` messages of a recvmmsg or sendmmsg that is over. For a 32-bit program
 * (`narrow`), the hook has put the call into the scratch space for receives. */
static __always_inline __u32 syscall_sum_messages(const struct pt_regs *regs, __u32 count, bool narrow)
{
	struct walk_scratch *x;
	__u32 zero = 0;

	x = bpf_map_lookup_elem(&receive_scratch, &zero);
	if (!x)
		return 0;
	x->bytes.narrow = narrow;
	user_bytes_all_messages(&x->bytes, narrow ? x->compat.arguments[1] : SYSCALL_ARG2(regs), count);
	return x->bytes.left;
}

#endif
