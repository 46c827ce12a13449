# SPDX-License-Identifier: Apache-2.0
"""System calls of a 32-bit program are not followed, which is an undercount of its own."""

import subprocess
import sys
from collections.abc import Callable

from harness.client import Client, request
from harness.monitor import Monitor
from harness.server import PROGRAMS

Attach = Callable[..., Monitor]


def test_reads_with_compat_system_calls(attach: Attach) -> None:
    command = [sys.executable, str(PROGRAMS / "compat_server.py")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            port = int(server.stdout.readline())
            monitor = attach(server.pid)
            for _ in range(5):
                with Client(port) as client:
                    assert client.ask(request("/ok")).body == b"ok"
            snapshot = monitor.wait_for(lambda s: s["undercount"] >= 5, "the reads are reported")
        finally:
            server.kill()
    assert snapshot["undercount_by_cause"] == {"compat": 5}
    assert (snapshot["total_requests"], snapshot["active_concurrent"]) == (0, 0)
