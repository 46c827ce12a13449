# SPDX-License-Identifier: Apache-2.0
"""The bench's statistics: estimates with confidence intervals, and verdicts on targets. All functions are pure.

The estimate is the one of Hodges and Lehmann: the median of all pairwise means. The interval is the range of those
means that Wilcoxon's signed-rank test does not reject. It assumes only that the values are symmetric around the true
one, which holds for the logarithms of ratios between rounds in random order. Noise on a shared machine has heavy
tails, and a few outliers widen this interval far less than one that is based on the standard deviation."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from statistics import median


@dataclass(frozen=True)
class Interval:
    """An estimate, and the bounds of its 95% confidence interval, which are infinite if there are too few values."""

    estimate: float
    low: float
    high: float
    count: int

    def covers(self, value: float) -> bool:
        return self.low <= value <= self.high


@cache
def walsh_averages_to_cut(count: int, confidence: float = 0.95) -> int | None:
    """The number of pairwise means outside the interval at each end, or None if `count` values are too few for an
    interval. Exact: counts the sign patterns of `count` ranks by their sum."""
    patterns = [1]
    for rank in range(1, count + 1):
        shifted = [0] * rank + patterns
        patterns = [a + b for a, b in zip(patterns + [0] * rank, shifted, strict=True)]
    allowed = (1 - confidence) / 2 * 2**count
    below, cut = 0, 0
    while below + patterns[cut] <= allowed:
        below += patterns[cut]
        cut += 1
    return cut - 1 if cut > 0 else None


def interval(values: Sequence[float]) -> Interval:
    """The estimated centre of the values, with its interval."""
    means = sorted((a + b) / 2 for index, a in enumerate(values) for b in values[index:])
    cut = walsh_averages_to_cut(len(values))
    if cut is None:
        return Interval(median(means), -math.inf, math.inf, len(values))
    return Interval(median(means), means[cut], means[-1 - cut], len(values))


def ratio_interval(numerators: Sequence[float], denominators: Sequence[float]) -> Interval:
    """The ratio of paired values, estimated on logarithms, so that a/b and b/a give inverse intervals."""
    logs = interval([math.log(a / b) for a, b in zip(numerators, denominators, strict=True)])
    high = math.exp(logs.high) if logs.high < math.inf else math.inf
    return Interval(math.exp(logs.estimate), math.exp(logs.low), high, logs.count)


def middle_mean(values: Sequence[float]) -> float:
    """The mean of the middle half, which a single interrupted or lucky slice does not move."""
    ordered = sorted(values)
    quarter = len(ordered) // 4
    middle = ordered[quarter : len(ordered) - quarter]
    return sum(middle) / len(middle)


def lower_quartile(values: Sequence[float]) -> float:
    """For slices that do the same work each time, where interference can only add time."""
    return sorted(values)[len(values) // 4]


def verdict(measured: Interval, at_most: float) -> str:
    """Whether a target is reached. It is not resolved if the interval covers the target."""
    if measured.high <= at_most:
        return "reached"
    return "MISSED" if measured.low > at_most else "not resolved"


def comparison(ratio: Interval) -> str:
    """Whether this build costs more than the other one."""
    if ratio.covers(1):
        return "no difference resolved"
    return "COSTS MORE" if ratio.low > 1 else "costs less"
