# SPDX-License-Identifier: Apache-2.0
"""Runs programs/beside_http.py: a uvicorn in a process that serves something else beside it."""

import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from harness.client import Client, request
from harness.monitor import Snapshot
from harness.server import PROGRAMS, kill_tree


@dataclass
class Pair:
    """A running beside_http.py."""

    pid: int
    port: int
    others: list[int]

    @property
    def other(self) -> int:
        return self.others[0]


@contextmanager
def running(kind: str, port: int = 0) -> Iterator[Pair]:
    process = subprocess.Popen(
        ["/usr/bin/python3", str(PROGRAMS / "beside_http.py"), kind, str(port)], stdout=subprocess.PIPE, text=True
    )
    try:
        assert process.stdout
        port, *others = json.loads(process.stdout.readline())
        ask(port, 1, "/")
        yield Pair(process.pid, port, others)
    finally:
        kill_tree(process)


def ask(port: int, count: int, target: str) -> None:
    """On one connection."""
    with Client(port) as client:
        for _ in range(count):
            assert client.ask(request(target)).status == 200


def by_port(snapshot: Snapshot, port: int) -> Snapshot:
    return next(entry for entry in snapshot["listeners"] if entry["address"] == f"127.0.0.1:{port}")
