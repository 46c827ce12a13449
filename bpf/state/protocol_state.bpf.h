/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * What a protocol keeps for each connection. Only this header of state/ names a protocol. All other code of state/ and
 * account/ treats the struct as a whole. A second protocol makes it a union with a tag.
 */
#ifndef MONITOR_PROTOCOL_STATE_BPF_H
#define MONITOR_PROTOCOL_STATE_BPF_H

#include "http1/stream.h"

struct protocol_state {
	struct http1_stream requests;
	struct http1_stream responses;
};

/* Initializes the all-zero state of a new connection. */
static __always_inline void protocol_state_init(struct protocol_state *p)
{
	p->responses.flags = HTTP1_F_RESPONSE;
}

/* Returns whether no part of a request has come. */
static __always_inline bool protocol_state_idle(const struct protocol_state *p)
{
	return p->requests.mode == HTTP1_START && !p->requests.carried;
}

/* The next bytes of the client start a request, and the server's next bytes start a response. */
static __always_inline void protocol_state_restart(struct protocol_state *p)
{
	p->requests.mode = HTTP1_START;
	p->requests.carried = 0;
	p->responses.mode = HTTP1_START;
	p->responses.carried = 0;
}

#endif
