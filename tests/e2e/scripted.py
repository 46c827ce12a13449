# SPDX-License-Identifier: Apache-2.0
"""The scripted server (syscall_server.py) as a test sees it: each call of `do` is one system call over there, done when
it returns. `Watched` is a monitor beside it, which tells what has changed since it was asked before."""

import json
import os
import select
import socket
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from client import Client
from figures import STATUSES
from monitor import Monitor, Snapshot
from waiting import PATIENCE

HERE = Path(__file__).parent

Change = dict[str, int]


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


class ScriptedServer:
    """`tcp` and `unix` are its listening descriptors."""

    def __init__(self, directory: Path) -> None:
        self.path = directory / "socket"
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        self._process = subprocess.Popen(
            [sys.executable, HERE / "syscall_server.py", self.path],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env=environment | {"PYTHONDONTWRITEBYTECODE": "1"},
        )  # fmt: skip
        self.pid = self._process.pid
        self.broken = False  # by a test that failed: of no use to another
        self.tcp, self.unix, self.port = self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout
        if not select.select([self._process.stdout], [], [], PATIENCE)[0]:
            self.broken = True
            raise AssertionError(f"no answer for {PATIENCE:g} s: the call over there does not return")
        line = self._process.stdout.readline()
        assert line, f"the scripted server ended: {self._process.wait()}"
        return json.loads(line)

    def start(self, *command: Any) -> None:
        """Tells it what to do, and does not wait: `finish` does, which must come before anything else is told."""
        assert self._process.stdin
        self._process.stdin.write(json.dumps(_encoded(command)) + "\n")
        self._process.stdin.flush()

    def finish(self) -> Any:
        return result_of(self._answer())

    def do(self, *command: Any) -> Any:
        """Has it do this, and returns what came of it. Bytes are bytes; raises the OSError that came over there."""
        self.start(*command)
        return self.finish()

    @contextmanager
    def connection(self) -> Iterator[tuple[Client, int]]:
        """A client, and the descriptor of its connection over there; at the end both are closed."""
        with Client(self.port) as client:
            fd = int(self.do("accept", self.tcp))
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

    def __enter__(self) -> "ScriptedServer":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()


def _figures(snapshot: Snapshot) -> Counter[str]:
    """What a snapshot counts, by name: "GET /a 2xx", "failed", "undercount gap", …"""
    figures = Counter({name: snapshot[f"{name}_requests"] for name in ("failed", "aborted", "refused", "rejected")})
    for endpoint in snapshot["endpoints"]:
        name = f"{endpoint['method']} {endpoint['path']}".strip()
        for status in STATUSES:
            figures[f"{name} {status}"] += endpoint["status"][status]
        figures[f"{name} active"] += endpoint["active"]
        assert endpoint["completed"] == sum(endpoint["status"].values())
    for cause, count in snapshot["undercount_by_cause"].items():
        figures[f"undercount {cause}"] += count
    # The totals are the sums of these, always.
    endpoints = snapshot["endpoints"]
    assert snapshot["total_requests"] == sum(endpoint["completed"] for endpoint in endpoints)
    assert snapshot["active_concurrent"] == sum(endpoint["active"] for endpoint in endpoints)
    return figures


class Changes:
    """What a monitor counts, each time since the time before."""

    def __init__(self, monitor: Monitor) -> None:
        self.monitor = monitor
        self._before: Counter[str] = _figures(monitor.next())

    def _change(self, snapshot: Snapshot) -> Change:
        now = _figures(snapshot)
        names = now.keys() | self._before.keys()
        return {name: now[name] - self._before[name] for name in names if now[name] != self._before[name]}

    def change(self) -> Change:
        """What has changed since the call before, but for what has not."""
        snapshot = self.monitor.next()
        change = self._change(snapshot)
        self._before = _figures(snapshot)
        return change

    def wait_change(self, expected: Change, what: str = "") -> None:
        """For what comes from the client's side, after a while."""
        snapshot = self.monitor.wait_for(lambda s: self._change(s) == expected, f"{expected} {what}")
        self._before = _figures(snapshot)


class Watched(Changes):
    """A scripted server and a monitor beside it."""

    def __init__(self, server: ScriptedServer, monitor: Monitor) -> None:
        super().__init__(monitor)
        self.server = server

    @property
    def profile(self) -> str:
        return str(self.monitor.next()["profile"])
