/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The base of the pure headers in http1/: macros, and operations on eight bytes at a time. The same source compiles for
 * the kernel, for the unit tests and for the fuzzer; it knows nothing of sockets, maps and processes.
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
 * repeat(n, step, context) calls step(i, context) for i = 0..n-1 until a step returns 1. Use it for loops that the
 * verifier would walk iteration by iteration. A step stores its results in what `context` points to (a map value in the
 * kernel), never in the context itself: Linux 6.1 assumes that bpf_loop leaves stack variables unchanged, and deletes
 * branches that depend on them.
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

/* Hides from the compiler what it knows of a variable. Without it, the compiler moves or drops the mask of an index
 * that it has already compared, and the verifier no longer sees the bound. libbpf defines it for the kernel. */
#ifndef __bpf__
#define barrier_var(x) ((void)0)
#endif

/* A load or store that the compiler does not drop, repeat or split, as in the kernel (include/asm-generic/rwonce.h). */
#define READ_ONCE(x)	     (*(const volatile __typeof__(x) *)&(x))
#define WRITE_ONCE(x, value) (*(volatile __typeof__(x) *)&(x) = (value))

/* ROLLED before a loop keeps one copy of its body, because more copies slow down both the program and the verifier.
 * UNROLLED makes one copy for each iteration, where the stack has no room for a counter. */
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
/* OR with it makes ASCII letters lower-case. It is also eight spaces. */
#define LOWER_CASE 0x2020202020202020ULL

/* Marks each byte of `word` that equals `byte` by its high bit. Only the lowest mark is exact, and callers use no
 * other.
 */
PURE_INLINE __u64 bytes_equal(__u64 word, __u8 byte)
{
	__u64 difference = word ^ (BYTES_01 * byte);

	return (difference - BYTES_01) & ~difference & BYTES_80;
}

/* Returns a non-zero value if a byte of `word` is a control character, below 0x20. */
PURE_INLINE __u64 bytes_below_space(__u64 word)
{
	return (word - LOWER_CASE) & ~word & BYTES_80;
}

/* Returns the index (0..7) of the lowest marked byte. `marks` comes from bytes_equal and is not 0. */
PURE_INLINE __u32 first_byte(__u64 marks)
{
	marks >>= 7;
	return (((marks & -marks) - 1) & BYTES_01) * BYTES_01 >> 56;
}

/* Marks each byte of `word` in the range `first`..`last` of ASCII by its high bit. Bytes from 0x80 up are never marked.
 */
PURE_INLINE __u64 range_marks(__u64 word, __u8 first, __u8 last)
{
	__u64 low = word & ~BYTES_80;
	/* bit 7 of each byte: low >= first, and low > last */
	__u64 from_first = low + BYTES_01 * (__u8)(0x80 - first);
	__u64 past_last = low + BYTES_01 * (__u8)(0x80 - last - 1);

	return from_first & ~past_last & ~word & BYTES_80;
}

/* Marks digits. */
PURE_INLINE __u64 digit_marks(__u64 word)
{
	return range_marks(word, '0', '9');
}

/* Returns the lowest `count` (0..7) bytes of `word`; the others become 0. */
PURE_INLINE __u64 low_bytes(__u64 word, __u32 count)
{
	return word & ((1ULL << (8 * (count & 7))) - 1);
}

/*
 * Returns the first `rest` bytes of `word`; the others become 0. `rest` may be negative, or above 8. There is no
 * branch: the verifier would follow both sides in each iteration of a loop, and Linux 6.1 does not see which are
 * impossible.
 */
PURE_INLINE __u64 cut_word(__u64 word, __s64 rest)
{
	__s64 sign = 8 - rest;
	__u64 bits;

	/* if the compiler saw that these are comparisons, it would make branches of them */
	barrier_var(sign);
	sign >>= 63;
	barrier_var(sign);
	rest = (rest & ~sign) | (8 & sign); /* at most 8 */
	barrier_var(rest);
	sign = rest >> 63;
	barrier_var(sign);
	bits = (__u64)(rest & ~sign) * 4; /* half of the bits, because a shift by 64 is undefined */
	return word & ((1ULL << bits << bits) - 1);
}

/* The word that a little-endian load of these eight characters returns. */
#define WORD(a, b, c, d, e, f, g, h)                                                                                   \
	((__u64)(__u8)(a) | (__u64)(__u8)(b) << 8 | (__u64)(__u8)(c) << 16 | (__u64)(__u8)(d) << 24 |                  \
	 (__u64)(__u8)(e) << 32 | (__u64)(__u8)(f) << 40 | (__u64)(__u8)(g) << 48 | (__u64)(__u8)(h) << 56)

/* The last eight characters of a token in a shift register that takes each new character at the right. */
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
