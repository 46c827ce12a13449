# SPDX-License-Identifier: Apache-2.0
"""A million requests while monitors start and are killed: the longest test, half a minute on two idle cores."""

import subprocess
import sys
from collections.abc import Callable

from harness.attached_engine import Engine, attach_counted, end
from harness.observation import endpoint_of
from harness.server import PROGRAMS, USUAL, Server
from harness.waiting import wait_until

Start = Callable[..., Server]

COUNT = 1_000_000
MONITORS = 10
ROUNDS = 20  # in each, all monitors are killed


def test_a_million_requests_through_ten_monitors_killed_and_restarted(start_server: Start, engine: Engine) -> None:
    server = start_server(USUAL, workers=2)
    counted = attach_counted(engine, server)
    objects = engine.objects()
    watch = ["--pid", server.pid, "--watch", "--json", "--interval", 0.2]
    load = subprocess.Popen([sys.executable, str(PROGRAMS / "pipelined_requests.py"), str(server.port), str(COUNT)])
    monitors: list[subprocess.Popen[str]] = []
    try:
        for round_ in range(ROUNDS):
            due = COUNT * round_ // ROUNDS
            wait_until(lambda: counted.tally().total() >= due or load.poll() is not None, f"{due} requests")
            for monitor in monitors:
                assert monitor.poll() is None, end(monitor)
                assert end(monitor)[0] == -9
            monitors = [engine.start(*watch) for _ in range(MONITORS)]
        assert load.wait() == 0
    finally:
        load.kill()
        load.wait()
        said = [end(monitor) for monitor in monitors]
    assert [(status, err) for status, _, err in said] == [(-9, "")] * MONITORS
    snapshot = counted.settle()
    counted.assert_equal(snapshot)
    assert snapshot["total_requests"] == COUNT
    assert endpoint_of(snapshot, "/ok")["status"]["2xx"] == COUNT
    assert (snapshot["failed_requests"], snapshot["aborted_requests"]) == (0, 0)
    assert engine.objects() == objects
