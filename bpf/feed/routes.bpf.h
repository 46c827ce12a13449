/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Finds the template of a path. The automaton (state/maps.bpf.h) takes one step for each byte and never goes back, so
 * the cost does not depend on the number of templates.
 */
#ifndef MONITOR_ROUTES_BPF_H
#define MONITOR_ROUTES_BPF_H

#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>

#include "http1/request_line.h"
#include "http1/stream.h"
#include "lib/pure.h"
#include "state/maps.bpf.h"

/* Scratch of one search. It need not be zeroed. */
struct route_search {
	__u32 from;	/* next byte of the window */
	__u32 state;	/* of the automaton */
	__u32 complete; /* the end of the path was found */
	__u32 padding;
};

struct route_loop {
	struct route_search *r;
	const struct http1_window *w;
};

/* Returns the value of a hexadecimal digit, or 16 for another byte. */
static __always_inline __u32 hex_value(char c)
{
	char lower = c | 0x20;

	if (c >= '0' && c <= '9')
		return c - '0';
	return lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : 16;
}

static int route_step(__u32 i, struct route_loop *loop)
{
	const struct http1_window *w = loop->w;
	struct route_search *r = loop->r;
	struct monitor_route_state *state;
	__u32 at = r->state, high, low;
	__u64 c = (__u8)WINDOW_BYTE(w, r->from);

	if (r->from >= w->path_end || http1_ends_path((char)c)) {
		r->complete = r->from < w->path_end || !(w->request_line & HTTP1_LINE_LONG);
		return 1;
	}
	r->from += 1;
	if (c == '%') {
		/* servers decode the path before they look for its route, "%2F" included */
		high = hex_value(WINDOW_BYTE(w, r->from));
		low = hex_value(WINDOW_BYTE(w, r->from + 1));
		if (high < 16 && low < 16) {
			c = high << 4 | low;
			r->from += 2;
		}
	}
	state = bpf_map_lookup_elem(&route_states, &at);
	barrier_var(c);
	r->state = state ? state->next[c & 255] : 0;
	return !r->state;
}

/* Returns the index of the key's method among those that templates name, or 0. */
static __always_inline __u64 route_method(const struct monitor_endpoint_key *key)
{
	__u32 first = 0;
	struct monitor_route_methods *methods = bpf_map_lookup_elem(&route_methods, &first);
	__u64 word = load_word(key->method);

	if (!methods || key->method_length > 8)
		return 0;
	ROLLED
	for (int i = 1; i < MONITOR_ROUTE_METHODS; ++i) {
		if (methods->word[i] == word)
			return i;
	}
	return 0;
}

/* If the path of the request line that a step has just reported has a template, makes it the key's path and returns 1.
 * Callers skip targets without HTTP1_LINE_HAS_PATH. */
GLOBAL_FUNC int route_match(struct monitor_endpoint_key *key, struct route_search *r, const struct http1_window *w)
{
	struct route_loop loop = {r, w};
	struct monitor_route_state *state;
	struct monitor_route *route;
	__u64 method;
	__u32 at;

	if (!key || !r || !w)
		return 0;
	r->from = w->path;
	r->state = ROUTE_START;
	r->complete = 0;
	repeat(HTTP1_LINE_PREFIX + 1, route_step, &loop);
	at = r->state;
	state = bpf_map_lookup_elem(&route_states, &at);
	if (!at || !state)
		return 0;
	/* of a path whose end is not read, only a template is known that matches any rest */
	if (!r->complete && (state->next['/'] != at || state->next['a'] != at))
		return 0;
	method = route_method(key);
	barrier_var(method);
	at = state->route[method & (MONITOR_ROUTE_METHODS - 1)];
	route = bpf_map_lookup_elem(&routes, &at);
	if (!at || !route)
		return 0;
	key->flags = (key->flags & ~ENDPOINT_PATH_CUT) | route->flags;
	key->path_length = route->length;
	ROLLED
	for (int i = 0; i < MONITOR_PATH_SIZE; i += 8)
		store_word(key->path + i, load_word(route->path + i));
	return 1;
}

#endif
