# SPDX-License-Identifier: Apache-2.0
"""Node's HTTP server under observation, with wrk and Node's own keep-alive agent as clients.

The monitor counts as many responses as the server reports."""

import json
import subprocess
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from harness.client import Client, request
from harness.load import wrk
from harness.monitor import Monitor
from harness.observation import responses_by_kind
from harness.server import PROGRAMS
from harness.waiting import PATIENCE

Attach = Callable[..., Monitor]

NODE = ["/usr/bin/node", str(PROGRAMS / "node_http.js")]


class NodeServer:
    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [*NODE, "serve"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )
        self.pid = self._process.pid
        assert self._process.stdout
        self.port = int(self._process.stdout.readline())

    def stop(self) -> tuple[Counter[str], int]:
        """Ends the server. Returns its responses by "METHOD /path 2xx" and its largest number of connections."""
        said = json.loads(self._process.communicate(timeout=PATIENCE)[0])
        return Counter(said["answered"]), said["most"]

    def kill(self) -> None:
        self._process.kill()
        self._process.wait()


@contextmanager
def node() -> Iterator[NodeServer]:
    server = NodeServer()
    try:
        yield server
    finally:
        server.kill()


def test_its_own_agent(attach: Attach) -> None:
    each, kinds = 100, 10
    with node() as server:
        monitor = attach(server.pid)
        subprocess.run([*NODE, "ask", str(server.port), str(each)], check=True, timeout=PATIENCE)
        monitor.wait_for(lambda s: s["total_requests"] == each * kinds, f"{each * kinds} requests")
        last = monitor.stop()
        answered, most = server.stop()
    assert responses_by_kind(last) == answered
    # The agent uses 8 connections at a time and replaces some, perhaps before the server has closed the old ones.
    assert 8 <= last["peak_connections"] <= most
    assert last["active_concurrent"] == last["aborted_requests"] == 0
    assert last["undercount_by_cause"] == {}


def test_wrk(attach: Attach) -> None:
    with node() as server:
        monitor = attach(server.pid)
        for target in ("/ok", "/chunks?a=b"):
            wrk(server.port, target, 1, 32)
        with Client(server.port) as client:  # in one segment
            client.send(request("/sized") * 200)
            assert [client.response().body for _ in range(200)] == [b"sized!"] * 200
        monitor.wait_idle()
        last = monitor.stop()
        answered, _ = server.stop()
    assert last["total_requests"] == answered.total()
    assert last["undercount_by_cause"] == {}
    assert responses_by_kind(last)["GET /sized 2xx"] == 200
