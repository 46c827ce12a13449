/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * A cursor over the bytes of one receive or send in the memory of the current process. A byte source fills it in; a
 * protocol moves it, buffer by buffer.
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
	__u64 message_left; /* bytes of the current message that have no buffer yet; ~0: no limit */
};

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

#endif
