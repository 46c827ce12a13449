# SPDX-License-Identifier: Apache-2.0
"""Runs programs/blocking_server.py and steps it."""

import subprocess
from pathlib import Path
from typing import Self

from harness.client import Address
from harness.server import PROGRAMS, kill_tree


class BlockingServer:
    def __init__(self, address: Path | str, *arguments: str) -> None:
        self._process = subprocess.Popen(
            ["/usr/bin/python3", str(PROGRAMS / "blocking_server.py"), str(address), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )
        self.pid = self._process.pid
        said = self.next_word()
        self.address: Address = int(said) if said.isdecimal() else Path(said)

    def next_word(self) -> str:
        assert self._process.stdout
        return self._process.stdout.readline().decode().strip()

    def go_on(self) -> None:
        assert self._process.stdin
        self._process.stdin.write(b"\n")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        kill_tree(self._process)
        for pipe in (self._process.stdin, self._process.stdout):
            assert pipe
            pipe.close()
