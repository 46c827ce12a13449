/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The base of the pure headers in http1/. The same source compiles for the kernel, for native tests and for the fuzzer.
 * It does not depend on sockets, maps or processes.
 */
#ifndef MONITOR_LIB_PURE_H
#define MONITOR_LIB_PURE_H

#ifdef __bpf__
#include "vmlinux.h"
#include <bpf/bpf_helpers.h>
#include <monitor/abi.h>
#define PURE_INLINE static __always_inline
/* A global function: the verifier checks it once by itself, not again at each call. */
#define GLOBAL_FUNC __attribute__((noinline))
#else
#include <linux/types.h>
#include <monitor/abi.h>
#include <stdbool.h>
#include <string.h>
#define PURE_INLINE static inline __attribute__((unused))
#define GLOBAL_FUNC static inline __attribute__((unused))
#endif

/*
 * repeat(n, step, context): calls step(i, context) for i = 0..n-1 until it returns 1. For loops that the verifier
 * would walk iteration by iteration. Results belong in what `context` points to (a map value in the kernel), never in
 * the context itself: Linux 6.1 assumes that bpf_loop leaves stack variables unchanged, and deletes branches.
 */
#ifdef __bpf__
#define repeat(n, step, context) bpf_loop(n, step, context, 0)
#else
#define repeat(n, step, context)                                                                                       \
	do {                                                                                                           \
		for (__u32 repeat_i = 0; repeat_i < (n); ++repeat_i) {                                                 \
			if (step(repeat_i, context))                                                                   \
				break;                                                                                 \
		}                                                                                                      \
	} while (0)
#endif

/* Keeps a masked index as it is: without this the compiler moves or drops the mask after it has served for a compare,
 * and the verifier no longer sees the bound. */
#ifndef __bpf__
#define barrier_var(x) ((void)0)
#endif

/* A load or store that the compiler neither drops, repeats nor splits, as in the kernel (include/asm-generic/rwonce.h).
 */
#define READ_ONCE(x)	     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

/* Before a loop: its body is there once in the program. Copies of it would make both program and verifier slower. Or as
 * often as it runs: where a counter would not fit the stack. */
#ifdef __clang__
#define ROLLED	 _Pragma("clang loop unroll(disable)")
#define UNROLLED _Pragma("clang loop unroll(full)")
#else
#define ROLLED
#define UNROLLED
#endif

/* ---- eight bytes at a time ---- */

#define BYTES_01 0x0101010101010101ULL
#define BYTES_80 0x8080808080808080ULL
/* Added by OR to letters: makes them lower-case. Also the space, eight times. */
#define LOWER_CASE 0x2020202020202020ULL

/* The high bit of each byte of `word` that equals `byte`; exact for the lowest such byte, which is all that is used. */
PURE_INLINE __u64 bytes_equal(__u64 word, __u8 byte)
{
	__u64 difference = word ^ (BYTES_01 * byte);

	return (difference - BYTES_01) & ~difference & BYTES_80;
}

/* Not 0 if a byte of `word` is below 0x20: a control character. */
PURE_INLINE __u64 bytes_below_space(__u64 word)
{
	return (word - LOWER_CASE) & ~word & BYTES_80;
}

/* Index 0..7 of the lowest byte marked in a non-zero mark of bytes_equal. */
PURE_INLINE __u32 first_byte(__u64 marks)
{
	marks >>= 7;
	return (((marks & -marks) - 1) & BYTES_01) * BYTES_01 >> 56;
}

/* Not 0 if a byte of `word` is an ASCII digit; bytes from 0x80 on are not digits. */
PURE_INLINE __u64 digit_marks(__u64 word)
{
	__u64 low = word & ~BYTES_80;
	/* bit 7 of each byte: low >= '0', and low > '9' */
	__u64 from_zero = low + BYTES_01 * (0x80 - '0');
	__u64 past_nine = low + BYTES_01 * (0x80 - '9' - 1);

	return from_zero & ~past_nine & ~word & BYTES_80;
}

/* The lowest `count` (0..7) bytes of `word`. */
PURE_INLINE __u64 low_bytes(__u64 word, __u32 count)
{
	return word & ((1ULL << (8 * (count & 7))) - 1);
}

/*
 * `word` without what lies past its first `rest` bytes; 8 or more keep it, 0 or less leave nothing. Without a branch:
 * in a loop the verifier would follow both ways through it in each iteration, and Linux 6.1 does not see which are
 * impossible.
 */
PURE_INLINE __u64 cut_word(__u64 word, __s64 rest)
{
	__s64 sign = 8 - rest;
	__u64 bits;

	/* the compiler must not see that these are comparisons: it would make branches of them */
	barrier_var(sign);
	sign >>= 63;
	barrier_var(sign);
	rest = (rest & ~sign) | (8 & sign); /* at most 8 */
	barrier_var(rest);
	sign = rest >> 63;
	barrier_var(sign);
	bits = (__u64)(rest & ~sign) * 4; /* half of them, since a shift by 64 is undefined */
	return word & ((1ULL << bits << bits) - 1);
}

/* Eight characters as the word that a little-endian load of them gives. */
#define WORD(a, b, c, d, e, f, g, h)                                                                                   \
	((__u64)(__u8)(a) | (__u64)(__u8)(b) << 8 | (__u64)(__u8)(c) << 16 | (__u64)(__u8)(d) << 24 |                  \
	 (__u64)(__u8)(e) << 32 | (__u64)(__u8)(f) << 40 | (__u64)(__u8)(g) << 48 | (__u64)(__u8)(h) << 56)

/* The last eight characters of a token as a shift register holds them after they were shifted in from the right. */
#define SHIFTED_IN(a, b, c, d, e, f, g, h) WORD(h, g, f, e, d, c, b, a)

PURE_INLINE __u64 load_word(const void *from)
{
#ifdef __bpf__
	return *(const __u64 *)from;
#else
	__u64 word;

	memcpy(&word, from, sizeof(word));
	return word;
#endif
}

PURE_INLINE void store_word(void *to, __u64 word)
{
#ifdef __bpf__
	*(__u64 *)to = word;
#else
	memcpy(to, &word, sizeof(word));
#endif
}

#endif
