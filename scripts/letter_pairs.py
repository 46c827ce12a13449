#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Prints bpf/http1/letter_pairs.h: how much each pair of letters or digits speaks for random text and against words.

usage: letter_pairs.py NAMES... > bpf/http1/letter_pairs.h

NAMES are files of names, one a line. The committed table is made from identifiers of Python's standard library, the
15,000 most downloaded names of PyPI, 20,000 of npm, and segments of published APIs. Other lists of that kind give
nearly the same table.
"""

import itertools
import math
import re
import string
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

HEX = string.digits + "abcdef"
BASE36 = string.digits + string.ascii_lowercase
BASE62 = BASE36 + string.ascii_uppercase
# How identifiers are written, and how often.
ALPHABETS = ((HEX, 0.30), (BASE36, 0.25), (BASE62, 0.45))
UNIT = 4  # of the natural logarithm
SMOOTHING = 2.0
LEAST, MOST = -12, 16
CODES = 32
DIGIT = 27

HEADER = """\
/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * How much a pair of letters or digits speaks for random text (positive) or for words (negative): quarters of the
 * natural logarithm of the ratio of both frequencies. Made by scripts/letter_pairs.py.
 */
#ifndef MONITOR_HTTP1_LETTER_PAIRS_H
#define MONITOR_HTTP1_LETTER_PAIRS_H

#include "lib/pure.h"

/* A letter's code is its place in the alphabet, from 1 on, in both cases. */
#define LETTER_PAIRS_DIGIT %d
#define LETTER_PAIRS_CODES %d

/* An upper-case letter after a lower-case one, and after another one where a lower-case one precedes both. */
#define LETTER_PAIRS_HUMP %d
#define LETTER_PAIRS_CAPS %d

/* At the code of the first times LETTER_PAIRS_CODES plus the code of the second. */
/* clang-format off */
static const signed char letter_pairs[LETTER_PAIRS_CODES * LETTER_PAIRS_CODES] = {
"""


FOOTER = """\
};
/* clang-format on */

/* Returns the number for a pair of codes. */
PURE_INLINE __s32 letter_pair(__u32 first, __u32 second)
{
	__u64 at = (__u64)first * LETTER_PAIRS_CODES + second;

	barrier_var(at);
	return letter_pairs[at & (LETTER_PAIRS_CODES * LETTER_PAIRS_CODES - 1)];
}

#endif"""


def code(c: str) -> int:
    return DIGIT if c.isdigit() else ord(c) & 31


def pairs(part: str) -> Iterator[int | str]:
    has_lower = False
    for first, second in itertools.pairwise(part):
        has_lower |= first.islower()
        if first.islower() and second.isupper():
            yield "hump"
        elif first.isupper() and second.isupper() and has_lower:
            yield "caps"
        else:
            yield code(first) * CODES + code(second)


def main() -> int:
    if len(sys.argv) < 2:
        print(__doc__, file=sys.stderr)
        return 2
    words: Counter[int | str] = Counter()
    for file in sys.argv[1:]:
        for part in re.findall("[A-Za-z0-9]+", Path(file).read_text(errors="ignore")):
            words.update(pairs(part))
    random: dict[int | str, float] = {}
    for alphabet, weight in ALPHABETS:
        for first in alphabet:
            for second in alphabet:
                # random text has lower case before nearly every place
                both_upper = first.isupper() and second.isupper()
                pair = "caps" if both_upper else next(pairs(first + second))
                random[pair] = random.get(pair, 0) + weight / len(alphabet) ** 2
    total = sum(words.values()) + SMOOTHING * len(random)
    weights = {
        pair: max(LEAST, min(MOST, round(UNIT * math.log(share * total / (words[pair] + SMOOTHING)))))
        for pair, share in random.items()
    }
    print(HEADER % (DIGIT, CODES, weights["hump"], weights["caps"]), end="")
    # a letter that is repeated, a number and an acronym are rare in these lists, but nothing unusual elsewhere
    for same in range(1, DIGIT + 1):
        weights[same * CODES + same] = min(0, weights[same * CODES + same])
    weights["caps"] = min(8, weights["caps"])
    for row_code in range(CODES):
        row = (weights.get(row_code * CODES + column, 0) for column in range(CODES))
        print("\t" + ", ".join(map(str, row)) + ",")
    print(FOOTER)
    return 0


if __name__ == "__main__":
    sys.exit(main())
