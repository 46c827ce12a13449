# SPDX-License-Identifier: Apache-2.0
"""Runs each arm once in a round, in random order, so that neither the machine's drift nor an arm's position favours one
arm."""

import random
import time
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from typing import TypeVar

from intervals import walsh_averages_to_cut

LEAST_ROUNDS = next(count for count in range(1, 20) if walsh_averages_to_cut(count) is not None)

Figures = Mapping[str, float]
Entered = TypeVar("Entered")


def run_rounds(
    arms: Mapping[str, Callable[[], AbstractContextManager[Entered]]],
    measure: Callable[[Entered], Figures],
    seconds: float,
) -> dict[str, dict[str, list[float]]]:
    """Measures within each arm's context, in rounds for about `seconds`, at least as many as an interval needs. Returns
    the values by arm and by figure; values at one index belong to one round."""
    values: dict[str, dict[str, list[float]]] = {arm: {} for arm in arms}
    deadline = time.monotonic() + seconds
    rounds = 0
    while rounds < LEAST_ROUNDS or time.monotonic() < deadline:
        for arm in random.sample(list(arms), len(arms)):
            with arms[arm]() as entered:
                for figure, value in measure(entered).items():
                    values[arm].setdefault(figure, []).append(value)
        rounds += 1
    return values
