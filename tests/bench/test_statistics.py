# SPDX-License-Identifier: Apache-2.0
"""The bench's statistics, on numbers made by hand or from a fixed seed. Needs neither root nor the kernel."""

import math
import random
import sys
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2] / "scripts/bench"))

from intervals import (
    Interval,
    comparison,
    interval,
    lower_quartile,
    middle_mean,
    ratio_interval,
    verdict,
    walsh_averages_to_cut,
)
from rounds import LEAST_ROUNDS, run_rounds


class Intervals(unittest.TestCase):
    def test_the_cut_is_that_of_the_published_tables(self) -> None:
        # Critical values of the two-sided signed-rank test at 5%, as in Conover, Practical Nonparametric Statistics.
        for count, critical in ((6, 0), (7, 2), (8, 3), (10, 8), (15, 25), (20, 52), (25, 89)):
            assert walsh_averages_to_cut(count) == critical, count
        assert walsh_averages_to_cut(5) is None
        assert LEAST_ROUNDS == 6

    def test_six_values_are_bounded_by_their_extremes(self) -> None:
        assert interval([4, 1, 6, 2, 5, 3]) == Interval(3.5, 1, 6, 6)

    def test_too_few_values_resolve_nothing(self) -> None:
        few = ratio_interval([1.0, 1.1], [1.0, 1.0])
        assert (few.low, few.high) == (0, math.inf)
        assert verdict(few, 1.05) == "not resolved"

    def test_a_wild_round_hardly_moves_the_interval(self) -> None:
        values = [0.9 + 0.01 * index for index in range(20)]
        calm = interval(values)
        wild = interval([*values[:10], 50.0, *values[11:]])
        assert abs(wild.estimate - calm.estimate) < 0.01
        assert wild.high < calm.high + 0.02

    def test_the_interval_covers_the_truth_in_95_of_100_experiments(self) -> None:
        generator = random.Random(1)

        def noise() -> float:  # heavy tails, as on a shared machine
            return generator.gauss(0, 0.3 if generator.random() < 0.1 else 0.03)

        covered = 0
        for _ in range(1000):
            with_it = [1.03 * math.exp(noise()) for _ in range(12)]
            without = [math.exp(noise()) for _ in range(12)]
            covered += ratio_interval(with_it, without).covers(1.03)
        assert 930 < covered < 980

    def test_the_inverse_ratio_has_the_inverse_interval(self) -> None:
        a, b = [1.0, 1.2, 1.1, 1.3, 0.9, 1.0, 1.1], [1.0, 1.0, 1.0, 1.1, 1.0, 0.9, 1.2]
        there, back = ratio_interval(a, b), ratio_interval(b, a)
        assert math.isclose(there.estimate * back.estimate, 1)
        assert math.isclose(there.low * back.high, 1)


class Estimators(unittest.TestCase):
    def test_the_middle_mean_leaves_out_a_quarter_at_each_end(self) -> None:
        assert middle_mean([1000, 1, 3, 2, 4, 3, 2, -1000]) == 2.5

    def test_the_lower_quartile_ignores_interference(self) -> None:
        assert lower_quartile([9, 1, 8, 1, 7, 1, 6, 1]) == 1


class Verdicts(unittest.TestCase):
    def test_a_target_inside_the_interval_is_not_resolved(self) -> None:
        assert verdict(Interval(1.04, 1.03, 1.06, 20), 1.05) == "not resolved"
        assert verdict(Interval(1.04, 1.03, 1.05, 20), 1.05) == "reached"
        assert verdict(Interval(1.08, 1.06, 1.10, 20), 1.05) == "MISSED"

    def test_two_builds_differ_only_if_the_interval_leaves_out_1(self) -> None:
        assert comparison(Interval(1.01, 0.99, 1.03, 20)) == "no difference resolved"
        assert comparison(Interval(1.02, 1.01, 1.03, 20)) == "COSTS MORE"
        assert comparison(Interval(0.98, 0.97, 0.99, 20)) == "costs less"


class Rounds(unittest.TestCase):
    def test_each_round_has_each_arm_once_in_changing_order(self) -> None:
        entered: list[str] = []

        class Arm:
            def __init__(self, name: str) -> None:
                self.name = name

            def __enter__(self) -> None:
                entered.append(self.name)

            def __exit__(self, *_: object) -> None:
                pass

        random.seed(3)
        values = run_rounds({"a": lambda: Arm("a"), "b": lambda: Arm("b")}, lambda _: {"n": float(len(entered))}, 0)
        assert len(values["a"]["n"]) == LEAST_ROUNDS
        rounds = [tuple(entered[index : index + 2]) for index in range(0, len(entered), 2)]
        assert {frozenset(one) for one in rounds} == {frozenset("ab")}
        assert set(rounds) == {("a", "b"), ("b", "a")}


if __name__ == "__main__":
    unittest.main()
