# SPDX-License-Identifier: Apache-2.0
"""Receives the datagrams of `monitor --statsd` and adds them up as a StatsD server does."""

import socket
import subprocess
from collections import Counter
from collections.abc import Callable
from contextlib import AbstractContextManager

from harness.monitor import BINARY
from harness.server import Server
from harness.waiting import stopped_by_sigterm, wait_until


class Received:
    """Figures from datagrams, by name and tags: the last value of a gauge, the sum of a counter."""

    def __init__(self, family: int = socket.AF_INET) -> None:
        self.socket = socket.socket(family, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1" if family == socket.AF_INET else "::1", 0))
        self.socket.settimeout(0.05)
        self.port: int = self.socket.getsockname()[1]
        self.gauges: dict[str, float] = {}
        self.counters: Counter[str] = Counter()

    def take(self) -> None:
        try:
            datagram = self.socket.recv(65536)
        except TimeoutError:
            return
        assert len(datagram) <= 1400
        for line in datagram.decode().split("\n"):
            name, value, kind, *tags = line.replace(":", "|", 1).split("|")
            key = "".join([name, *tags])
            if kind == "g":
                self.gauges[key] = float(value)
            else:
                assert kind == "c"
                self.counters[key] += int(value)

    def wait_for(self, condition: Callable[[], object], what: str) -> None:
        def met() -> object:
            self.take()
            return condition()

        wait_until(met, what)

    def __enter__(self) -> "Received":
        return self

    def __exit__(self, *_: object) -> None:
        self.socket.close()


def sending(server: Server, to: str, *options: str) -> AbstractContextManager["subprocess.Popen[str]"]:
    process = subprocess.Popen(
        [BINARY, "--pid", str(server.pid), "--interval", "0.05", "--statsd", to, *options],
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    return stopped_by_sigterm(process)
