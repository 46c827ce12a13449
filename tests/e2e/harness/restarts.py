# SPDX-License-Identifier: Apache-2.0
"""Servers that take over from one another on one address."""

import os
import signal
import socket
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from harness.asgi_servers import CURRENT
from harness.client import Address, Client, request
from harness.server import AppServer, parent_of
from harness.waiting import wait_until


def listener(reuse: bool = False, port: int = 0) -> socket.socket:
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, reuse)
    made.bind(("127.0.0.1", port))
    return made


def free_port() -> int:
    with listener() as made:
        return int(made.getsockname()[1])


def ask(address: Address, count: int) -> None:
    """Each on a connection of its own."""
    for _ in range(count):
        with Client(address) as client:
            assert client.ask(request("/ok", "GET", "Connection: close")).status == 200


def terminate(server: AppServer) -> None:
    os.kill(server.pid, signal.SIGTERM)
    wait_until(lambda: not server.is_running(), "the server has ended")


def total(servers: Sequence[AppServer]) -> int:
    return sum(server.tally().total() for server in servers)


def has_ended(pid: int) -> bool:
    return parent_of(pid) == 0


class Upgraded:
    """A gunicorn whose new master, started by USR2, serves besides the old one."""

    def __init__(self, directory: Path, bind: str = "127.0.0.1:0", unix: Path | None = None) -> None:
        self.pid_file = directory / "gunicorn.pid"
        self.configuration = directory / "configuration.py"
        self.configuration.write_text("")
        # The new master executes the program that the old one was started with: python -m does not survive that.
        command = [str(Path(CURRENT).with_name("gunicorn")), "--worker-class", "uvicorn_worker.UvicornWorker"]
        command += ["--workers", "2", "--no-control-socket", "--log-level", "warning", "--bind", bind]
        command += ["--config", str(self.configuration), "--pid", str(self.pid_file), "app:app"]
        self.old = AppServer(directory, "gunicorn", command, 2, unix)
        self.masters = [self.old.pid]

    @property
    def new(self) -> int:
        return self.masters[-1]

    def upgrade(self) -> None:
        workers = len(self.old.started_workers())
        os.kill(self.new, signal.SIGUSR2)
        new = self.pid_file.with_suffix(".pid.2")
        wait_until(lambda: len(self.old.started_workers()) == workers + 2, "the new workers have started")
        self.masters.append(int(new.read_text()))

    def finish(self) -> None:
        """Ends the master before the newest one."""
        old = self.masters[-2]
        os.kill(old, signal.SIGTERM)
        if old == self.old.pid:
            wait_until(lambda: not self.old.is_running(), "the old master has ended")
        wait_until(lambda: parent_of(old) == 0, "the old master has ended")
        # It renames its file, so that there is none for a moment.
        wait_until(lambda: self.pid_file.exists(), "the new master has noticed")

    def __enter__(self) -> "Upgraded":
        return self

    def __exit__(self, *_: object) -> None:
        for master in self.masters[1:]:
            with suppress(ProcessLookupError):
                os.kill(master, signal.SIGTERM)
            wait_until(partial(has_ended, master), "the new master has ended")
        self.old.stop()
