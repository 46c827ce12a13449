# SPDX-License-Identifier: Apache-2.0
"""Prints the results of the bench, as a table line by line while it runs, or as JSON at the end."""

import json
import math
from dataclasses import dataclass, field

from intervals import Interval


@dataclass(frozen=True)
class Row:
    figure: str
    value: Interval
    unit: str = "ratio"
    target: float | None = None
    verdict: str = ""
    floor: Interval | None = None  # noise floor: no monitor compared with no monitor


def plain(value: float) -> float | None:
    """The value, or None in place of infinity, which JSON does not have."""
    return value if math.isfinite(value) else None


def numbers(value: Interval) -> dict[str, float | int | None]:
    return {"estimate": value.estimate, "low": plain(value.low), "high": plain(value.high), "rounds": value.count}


def digits(unit: str) -> int:
    return {"ratio": 3, "ns": 0}.get(unit, 2)


def bounds(value: Interval, unit: str) -> str:
    return f"{value.low:.{digits(unit)}f} .. {value.high:.{digits(unit)}f}"


def line(row: Row) -> str:
    unit = "" if row.unit == "ratio" else f" {row.unit}"
    value = f"{row.value.estimate:.{digits(row.unit)}f}{unit}"
    target = "" if row.target is None else f"<= {row.target:g}{unit}"
    floor = "" if row.floor is None else bounds(row.floor, "ratio")
    cells = f"{row.figure:<58} {target:>10} {value:>10} {bounds(row.value, row.unit):>18} {floor:>16}  {row.verdict}"
    return cells.rstrip()


@dataclass
class Report:
    as_json: bool
    machine: dict[str, object]
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def start(self) -> None:
        if not self.as_json:
            print("  ".join(f"{name}: {value}" for name, value in self.machine.items()))
            head = f"{'figure':<58} {'target':>10} {'value':>10} {'95% interval':>18} {'noise floor':>16}  verdict"
            print(head, flush=True)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        if not self.as_json:
            print(line(row), flush=True)

    def note(self, text: str) -> None:
        self.notes.append(text)
        if not self.as_json:
            print(f"  {text}", flush=True)

    def finish(self) -> None:
        if not self.as_json:
            return
        rows = [
            {
                "figure": row.figure,
                "unit": row.unit,
                "target": row.target,
                **numbers(row.value),
                "verdict": row.verdict or None,
                "noise_floor": numbers(row.floor) if row.floor else None,
            }
            for row in self.rows
        ]
        print(json.dumps({"machine": self.machine, "rows": rows, "notes": self.notes}, indent=2))
