/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The state of the parser (parser.h) for one direction of a connection, the window of bytes that it reads, and the
 * events that it returns.
 */
#ifndef MONITOR_HTTP1_STREAM_H
#define MONITOR_HTTP1_STREAM_H

#include "lib/pure.h"

#define HTTP1_LINE_PREFIX 176
#define HTTP1_LINE_SUFFIX 16
#define HTTP1_CARRY	  (HTTP1_LINE_PREFIX + HTTP1_LINE_SUFFIX)

#define HTTP1_REQUEST_LINE_PREFIX (HTTP1_LINE_PREFIX - 8)

/* Bytes that one fill may add to the window, after the carried bytes. */
#define HTTP1_FILL 1024
/* The window's index mask, greater than HTTP1_CARRY + HTTP1_FILL. A load of eight bytes may end in the slack. */
#define HTTP1_MASK  2047
#define HTTP1_SLACK 64

/* Bytes of a body that are kept while HTTP1_F_CAPTURING is set: enough for the server's own error texts. */
#define HTTP1_CAPTURE 32

enum http1_mode {
	HTTP1_START,	       /* before a start line; empty lines are skipped (RFC 9112 §2.2) */
	HTTP1_FIELD,	       /* at the start of a header field line that must be read whole */
	HTTP1_SKIP,	       /* inside a header field line that does not matter */
	HTTP1_TRAILER,	       /* at the start of a trailer line */
	HTTP1_CHUNK_SIZE,      /* at the start of a chunk-size line */
	HTTP1_DECIDE,	       /* a response's head is complete: the caller must call http1_response_body */
	HTTP1_PROXY_FIXED,     /* in the fixed part of a header of the PROXY protocol, version 2 (proxy_header.h) */
	HTTP1_PROXY_ADDRESSES, /* `remaining` bytes of that header follow */
	HTTP1_CHUNK_DATA,      /* `remaining` bytes of a chunk and its line end follow */
	HTTP1_LENGTH,	       /* `remaining` bytes of a body with Content-Length follow */
	HTTP1_UNTIL_CLOSE,     /* in a response body that the close delimits */
	HTTP1_OVER,	       /* no message follows: after Connection: close, or in a tunnel */
	HTTP1_BAD,	       /* the bytes are not HTTP/1.x */
};

/* Bits of http1_stream.flags. The bits of HTTP1_F_MESSAGE describe the current message; its start line clears them. */
#define HTTP1_F_CHUNKED		   0x0001 /* Transfer-Encoding ends in chunked */
#define HTTP1_F_HAS_LENGTH	   0x0002
#define HTTP1_F_CLOSE		   0x0004 /* Connection: close */
#define HTTP1_F_KEEP_ALIVE	   0x0008 /* Connection: keep-alive */
#define HTTP1_F_UPGRADE		   0x0010 /* Connection: upgrade with an Upgrade field */
#define HTTP1_F_OLD		   0x0020 /* below HTTP/1.1: one request on each connection, unless kept alive */
#define HTTP1_F_FIELD_MASK	   0x00c0 /* the field that the next line may continue: one of the next three, or 0 */
#define HTTP1_F_FIELD_LENGTH	   0x0040 /* Content-Length */
#define HTTP1_F_FIELD_CONNECTION   0x0080 /* Connection */
#define HTTP1_F_FIELD_CODING	   0x00c0 /* Transfer-Encoding */
#define HTTP1_F_HAS_CODING	   0x0400 /* the head has a Transfer-Encoding */
#define HTTP1_F_CONNECTION_UPGRADE 0x2000 /* Connection: upgrade */
#define HTTP1_F_UPGRADE_FIELD	   0x4000 /* the head has an Upgrade field */
#define HTTP1_F_WEBSOCKET	   0x8000 /* Upgrade: websocket */
#define HTTP1_F_MESSAGE		   0xe4ff
#define HTTP1_F_RESPONSE	   0x0100 /* this direction carries responses */
#define HTTP1_F_CAPTURING	   0x0200 /* the current body is captured */
#define HTTP1_F_HTTP2		   0x0800 /* requests: the HTTP/2 preface came; responses: Upgrade: h2c came once */
#define HTTP1_F_TLS		   0x1000 /* the bytes look like a TLS record */

/* The state for one direction of a connection. All zero: the requests of a new connection. */
struct http1_stream {
	__u64 remaining; /* bytes of body until the next line or message */
	__u16 flags;	 /* HTTP1_F_* */
	__u16 status;	 /* of the current response */
	__u8 mode;	 /* enum http1_mode */
	__u8 carried;	 /* bytes of an unfinished line in `carry` */
	__u8 captured;	 /* responses: bytes of the current body so far, at most HTTP1_CAPTURE + 1; see `capture`.
			  * Requests: HTTP1_PROXIED if the connection began with a header of the PROXY protocol */
	__u8 method;	 /* enum http1_method of the request whose line was read last */
	char carry[HTTP1_CARRY];
	char capture[HTTP1_CAPTURE];
};

#define HTTP1_PROXIED 1

enum http1_method {
	HTTP1_METHOD_NONE, /* no request line was read, nor a header of the PROXY protocol */
	HTTP1_METHOD_OTHER,
	HTTP1_METHOD_HEAD,
	HTTP1_METHOD_CONNECT,
};

/* The bytes that the parser works on. The kernel has one window for each CPU. */
struct http1_window {
	__u32 pos;	/* start of the current line, or of the unread bytes */
	__u32 scan;	/* the search for a line end continues here */
	__u32 end;	/* after the last byte */
	__u32 line;	/* scratch: where a loop over single bytes is */
	__u32 line_end; /* scratch: where such a loop ends */
	__u32 token_length;
	__u64 token;	    /* scratch: the last eight bytes of a list element, in lower case */
	__u64 number;	    /* scratch: the number that a loop reads */
	__u32 found;	    /* scratch: HTTP1_F_* bits found in a list */
	__u32 path;	    /* where the path of the request line begins that a step reported */
	__u32 path_end;	    /* end of what is read of the line */
	__u32 request_line; /* HTTP1_LINE_* of the request line that a step reported */
	__u32 last_found;   /* scratch: those of the list's last element */
	__u32 token_first;  /* scratch: the first two bytes of an element, in lower case */
	char bytes[HTTP1_MASK + 1 + HTTP1_SLACK];
};

/* What a step returns. HTTP1_REQUEST_LINE and HTTP1_HEAD_COMPLETE can come together; the others come alone. */
enum http1_event {
	HTTP1_AGAIN = 0,	 /* nothing yet: step again */
	HTTP1_REQUEST_LINE = 1,	 /* a request line: the key has its method and path */
	HTTP1_HEAD_COMPLETE = 2, /* a head is complete; for a response, call http1_response_body next */
	HTTP1_END = 4,		 /* a message is complete whose body ended before the close */
	HTTP1_ERROR = 8,	 /* the bytes are not HTTP/1.x; the mode is HTTP1_BAD */
	HTTP1_MORE = 16,	 /* the window is used up */
};

#define WINDOW_BYTE(w, at) ((w)->bytes[(at)&HTTP1_MASK])

/* Makes a 64-bit position usable as an index. No position is past the mask, so the value stays; but the verifier sees a
 * bound, and the same state in each iteration of a loop. */
#define WINDOW_INDEX(at)                                                                                               \
	do {                                                                                                           \
		barrier_var(at);                                                                                       \
		(at) &= HTTP1_MASK;                                                                                    \
	} while (0)

PURE_INLINE __u64 window_word(const struct http1_window *w, __u32 at)
{
	__u64 index = at;

	WINDOW_INDEX(index);
	return load_word(w->bytes + index);
}

#endif
