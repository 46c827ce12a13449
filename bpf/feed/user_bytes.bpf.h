/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A cursor over the bytes of one receive or send in the memory of the current process. A byte source fills it in; a
 * protocol moves it, buffer by buffer. The structures of 32-bit programs have a path of their own, which
 * user_bytes_next takes where it finds no vector of a 64-bit program, so that those pay nothing for it.
 */
#ifndef MONITOR_USER_BYTES_BPF_H
#define MONITOR_USER_BYTES_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>

#include "lib/pure.h"

/* The bytes of one event: a buffer in user memory, or vectors of buffers, of one message or of several. */
struct user_bytes {
	__u64 base;	   /* next byte */
	__u64 base_left;   /* bytes left in this buffer */
	__u64 vector;	   /* address of the next struct user_iovec */
	__u64 vector_left; /* number of vectors left */
	__u64 left;	   /* bytes of the event not yet taken */
	__u64 message;	   /* address of the next struct user_messages, if the call is over */
	__u64 messages_left;
	__u64 message_left;  /* bytes of the current message that have no buffer yet; ~0: no limit */
	__u32 narrow;	     /* of a 32-bit program: `vector_left` is 0 then, and the next two count */
	__u32 narrow_left;   /* number of vectors left */
	__u64 narrow_vector; /* address of the next struct user_iovec32 */
};

/* Takes the buffers of one message of a 32-bit program. */
static __always_inline void narrow_message(struct user_bytes *u, const struct user_message32 *message)
{
	u->narrow_vector = message->msg_iov;
	u->narrow_left = message->msg_iovlen;
}

/* Does for a 32-bit program what user_bytes_next does. */
static __always_inline int narrow_next(struct user_bytes *u)
{
	struct user_messages32 next;
	struct user_iovec32 vector;

	if (u->narrow_left && u->message_left) {
		if (bpf_probe_read_user(&vector, sizeof(vector), (void *)u->narrow_vector))
			return -1;
		u->narrow_vector += sizeof(vector);
		u->narrow_left -= 1;
		u->base = vector.iov_base;
		u->base_left = vector.iov_len < u->message_left ? vector.iov_len : u->message_left;
		u->message_left -= u->base_left;
		return 0;
	}
	if (!u->messages_left || bpf_probe_read_user(&next, sizeof(next), (void *)u->message))
		return -1;
	u->message += sizeof(next);
	u->messages_left -= 1;
	u->message_left = next.length;
	narrow_message(u, &next.header);
	return 0;
}

/* No vector of a 64-bit program is left: moves to the next message of a call that is over, or to a 32-bit program's
 * next vector. Returns 0, or -1 if nothing is left or it cannot be read. */
GLOBAL_FUNC int user_bytes_next_rare(struct user_bytes *u)
{
	struct user_messages next;

	if (!u)
		return -1;
	if (u->narrow)
		return narrow_next(u);
	if (!u->messages_left || bpf_probe_read_user(&next, sizeof(next), (void *)u->message))
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
		return user_bytes_next_rare(u);
	if (bpf_probe_read_user(&vector, sizeof(vector), (void *)u->vector))
		return -1;
	u->vector += sizeof(vector);
	u->vector_left -= 1;
	u->base = vector.iov_base;
	u->base_left = vector.iov_len < u->message_left ? vector.iov_len : u->message_left;
	u->message_left -= u->base_left;
	return 0;
}

/* Reads the first or the last of the vectors that are left, without moving to it. Returns 0, or -1 if no vector is left
 * or it cannot be read. */
static __always_inline int user_bytes_peek(const struct user_bytes *u, bool last, struct user_iovec *vector)
{
	__u64 left = u->narrow ? u->narrow_left : u->vector_left;
	__u64 index = last ? left - 1 : 0;
	struct user_iovec32 narrow;

	if (!left)
		return -1;
	if (!u->narrow)
		return bpf_probe_read_user(vector, sizeof(*vector), (void *)(u->vector + index * sizeof(*vector)));
	if (bpf_probe_read_user(&narrow, sizeof(narrow), (void *)(u->narrow_vector + index * sizeof(narrow))))
		return -1;
	vector->iov_base = narrow.iov_base;
	vector->iov_len = narrow.iov_len;
	return 0;
}

static __always_inline void user_bytes_advance(struct user_bytes *u, __u64 count)
{
	u->base += count;
	u->base_left -= count;
	u->left -= count;
}

#endif
