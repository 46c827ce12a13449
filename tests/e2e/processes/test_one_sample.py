# SPDX-License-Identifier: Apache-2.0
"""One sample of several servers."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

from harness.monitor import BINARY, PROFILE
from harness.server import Server
from harness.waiting import PATIENCE, wait_until


def test_one_sample_of_each_though_a_server_ends(start_server: Callable[..., Server], tmp_path: Path) -> None:
    servers = [start_server() for _ in range(3)]
    named = [word for server in servers for word in ("--pid", str(server.pid))]
    said = tmp_path / "said"
    with said.open("wb") as errors:
        monitor = subprocess.Popen(
            [
                BINARY,
                *named,
                "--json",
                "--verbose",
                "--interval",
                "3",
                "--profile",
                PROFILE,
            ],
            stdout=subprocess.PIPE,
            stderr=errors,
        )
    with monitor:
        wait_until(lambda: said.read_text().count("\nmonitor: following pid ") == 3, "all three are followed")
        os.kill(servers[0].pid, signal.SIGKILL)
        printed, _ = monitor.communicate(timeout=PATIENCE)
    shown = [json.loads(line)["target"]["pid"] for line in printed.splitlines()]
    assert sorted(shown) == sorted(server.pid for server in servers)
