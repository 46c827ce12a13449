# SPDX-License-Identifier: Apache-2.0
"""Controls programs/syscall_server.py: each `do` makes the server make one system call and returns its result."""

import json
import os
import select
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harness.client import Client
from harness.server import PROGRAMS
from harness.waiting import PATIENCE


def _encoded(value: Any) -> Any:
    if isinstance(value, list | tuple):
        return [_encoded(each) for each in value]
    return value.decode("latin-1") if isinstance(value, bytes) else value


def _decoded(value: Any) -> Any:
    if isinstance(value, list):
        return [_decoded(each) for each in value]
    return value.encode("latin-1") if isinstance(value, str) else value


def result_of(answer: dict[str, Any]) -> Any:
    if "errno" in answer:
        raise OSError(answer["errno"], os.strerror(answer["errno"]))
    return _decoded(answer["result"])


class SyscallServer:
    """`tcp` and `unix` are its listening descriptors."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "socket"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [sys.executable, PROGRAMS / "syscall_server.py", self.path],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        )
        self.pid = self._process.pid
        self.broken = False  # set when a test fails: no other test may use the server
        self.tcp, self.unix, self.port = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self.broken = True
            raise AssertionError(f"no answer for {PATIENCE:g} s: the server's call does not return")
        line = self._process.stdout.readline()
        assert line, f"the server ended: {self._process.wait()}"
        return json.loads(line)

    def start(self, *command: Any) -> None:
        """Sends a command and does not wait for the result. Call `finish` to get it before the next command."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(_encoded(command)) + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        return result_of(self._answer())

    def do(self, *command: Any) -> Any:
        """Makes the server run a command and returns the result, or raises the server's OSError. Bytes stay bytes."""
        self.start(*command)
        return self.finish()

    @contextmanager
    def connection(self, family: str = "tcp") -> Iterator[tuple[Client, int]]:
        """A client, and the server's descriptor of its connection. Both are closed at the end."""
        with Client(self.port if family == "tcp" else self.path) as client:
            fd = int(self.do("accept", self.tcp if family == "tcp" else self.unix))
            if family == "tcp":
                self.do("set_option", fd, socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            try:
                yield client, fd
            except BaseException:
                self.broken = True
                raise
            self.do("close", fd)

    def kill(self) -> None:
        self._process.kill()
        self._process.communicate()

    def __enter__(self) -> "SyscallServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
