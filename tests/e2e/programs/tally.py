# SPDX-License-Identifier: Apache-2.0
"""What the application under test counted: one memory-mapped file for each of its processes.

The application writes and the test reads. The counts survive the process, kill -9 included, and cost it almost
nothing."""

import mmap
import struct
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

ROWS = 4096
KEY_SIZE = 128
# What is counted for each "METHOD /path": requests that reached the application, those in it now, those waiting at a
# gate now, and its responses by status class.
COLUMNS = ("started", "running", "waiting", "1xx", "2xx", "3xx", "4xx", "5xx")
ROW = struct.Struct(f"={KEY_SIZE}s{len(COLUMNS)}Q")


class TallyWriter:
    """The counts of one process. Only one thread, the event loop's, writes them; every store is one aligned word."""

    def __init__(self, path: Path) -> None:
        with path.open("w+b") as file:
            file.truncate(ROWS * ROW.size)
            self._bytes = mmap.mmap(file.fileno(), 0)
        self._words = memoryview(self._bytes).cast("Q")
        self._rows: dict[str, int] = {}

    def add(self, key: str, column: str, amount: int = 1) -> None:
        row = self._rows.get(key)
        if row is None:
            row = self._rows[key] = min(len(self._rows), ROWS - 1)  # keys past the last row share it
            encoded = key.encode()[:KEY_SIZE].ljust(KEY_SIZE, b"\0")
            self._bytes[row * ROW.size : row * ROW.size + len(encoded)] = encoded
        word = (row * ROW.size + KEY_SIZE) // 8 + COLUMNS.index(column)
        self._words[word] += amount


def _rows(path: Path) -> Iterator[tuple[str, tuple[int, ...]]]:
    for key, *counts in ROW.iter_unpack(path.read_bytes()):
        if not key[0]:
            return  # rows are used in order
        yield key.rstrip(b"\0").decode(), tuple(counts)


class Tally:
    """Counts summed over all the processes of a server, dead ones included. Tallies subtract: after - before."""

    def __init__(self, counts: dict[str, Counter[str]]) -> None:
        self._counts = counts

    @classmethod
    def read(cls, directory: Path, process: str = "*") -> "Tally":
        """`process`: the pid of one, or all of them."""
        counts: dict[str, Counter[str]] = {}
        for path in directory.glob(f"{process}.tally"):
            for key, values in _rows(path):
                row = counts.setdefault(key, Counter())
                for column, value in zip(COLUMNS, values, strict=True):
                    row[column] += value
        return cls(counts)

    def __sub__(self, before: "Tally") -> "Tally":
        counts = {}
        for key, row in self._counts.items():
            difference = Counter(row)
            difference.subtract(before._counts.get(key, Counter()))
            if any(difference.values()):
                counts[key] = difference
        return Tally(counts)

    def of(self, key: str, column: str = "started") -> int:
        return self._counts.get(key, Counter())[column]

    def total(self, column: str = "started") -> int:
        return sum(row[column] for row in self._counts.values())

    def by_key(self, column: str = "started") -> dict[str, int]:
        return {key: row[column] for key, row in self._counts.items() if row[column]}

    def __repr__(self) -> str:
        return repr({key: dict(row) for key, row in self._counts.items()})
