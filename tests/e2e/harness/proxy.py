# SPDX-License-Identifier: Apache-2.0
"""A copy of the tree's layout, in which run_proxy.sh and the other scripts run as an operator types them.

scripts/ and build/ are links to the tree's; logs/ belongs to the test."""

import itertools
import os
import re
import signal
import socket
import subprocess
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any, Self

from harness.attached_engine import remove_pins
from harness.bpffs import BPFFS
from harness.client import Client, request
from harness.monitor import BINARY
from harness.server import PROGRAMS, ROOT, parent_of
from harness.waiting import PATIENCE, wait_until
from tally import Tally

_made = itertools.count()  # trees of this process

VENV = str(ROOT / "build/venv/bin/python")
DEBIAN = "/usr/bin/python3"

CONCURRENCY = re.compile(
    r"^\[CONCURRENCY\] Active: (?P<active>\d+)/(?P<peak>\d+) \| Total: (?P<total>\d+) \| Failed: (?P<failed>\d+)"
    r" \| Queue: (?P<queue>\d+) \| Uptime: (?P<uptime>[0-9dhms ]+)$",
    re.MULTILINE,
)
# Variables of the environment that would affect the scripts.
VARIABLES = re.compile("PYTHON.*|WEB_.*|VIRTUAL_ENV|DEBUG|ENABLE_.*|MONITOR_UPDATE_INTERVAL|PROXY_.*|NO_COLOR|LC_.*")


class Tree:
    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.counts = directory / "counts"
        self.counts.mkdir(parents=True)
        self.logs = directory / "logs"
        self.pins = BPFFS / f"monitor-proxy-{os.getpid()}-{next(_made)}"
        remove_pins(self.pins)  # left by a killed process with the same pid
        for name in ("scripts", "build"):
            (directory / name).symlink_to(ROOT / name)
        self.environment = {name: value for name, value in os.environ.items() if not VARIABLES.fullmatch(name)}
        self.environment |= {
            "MONITOR_BINARY": BINARY,
            "MONITOR_PINS": str(self.pins),
            "E2E_DIRECTORY": str(self.counts),
            "PYTHONDONTWRITEBYTECODE": "1",
            "LC_ALL": "C.UTF-8",
        }

    def type(self, line: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Runs a command line to its end."""
        with self.typed(line, **environment) as process:
            try:
                output, errors = process.communicate(timeout=PATIENCE)
            except BaseException:
                os.killpg(process.pid, signal.SIGKILL)
                raise
        return subprocess.CompletedProcess(line, process.returncode, output, errors)

    def typed(self, line: str, **environment: str) -> subprocess.Popen[str]:
        """Starts a command line without waiting, in a process group of its own like a terminal's foreground job."""
        return subprocess.Popen(
            ["bash", "-c", line],
            cwd=self.directory,
            env=self.environment | environment,
            text=True,
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )

    def app(self, *options: str) -> str:
        """Options that run the tests' own application on a free port."""
        port = [] if "--port" in options else ["--port 0"]
        return " ".join(["--app app:app --app-dir", str(PROGRAMS), *port, *options])

    def start(self, *options: str, **environment: str) -> int:
        """Starts the proxy and returns its port."""
        ended = self.type(f"scripts/run_proxy.sh start {self.app('--monitor-interval 0.05', *options)}", **environment)
        assert ended.returncode == 0, ended.stdout + ended.stderr + self.log()
        return port_in(ended.stdout)

    def pid(self) -> int:
        return int((self.logs / "proxy.pid").read_text())

    def log(self) -> str:
        with suppress(FileNotFoundError):
            return (self.logs / "proxy.log").read_text()
        return ""

    def last(self) -> dict[str, Any]:
        """The figures of the newest [CONCURRENCY] line."""
        *_, newest = CONCURRENCY.finditer(self.log())
        return {name: value if name == "uptime" else int(value) for name, value in newest.groupdict().items()}

    def wait_for(self, **figures: int) -> None:
        wait_until(lambda: figures.items() <= self.last().items(), f"{figures} in the log, which ends in {self.last()}")

    def tally(self) -> Tally:
        return Tally.read(self.counts)

    def open_gates(self, name: str, count: int) -> None:
        for fifo in self.counts.glob("*.gates"):
            descriptor = os.open(fifo, os.O_WRONLY | os.O_NONBLOCK)
            os.write(descriptor, f"{name} {count}\n".encode())
            os.close(descriptor)

    def processes(self) -> list[int]:
        """Pids of the servers, monitors and scripts that belong to this directory."""
        found = []
        for entry in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                described = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
                if str(self.counts).encode() in described or str(self.logs).encode() in described:
                    found.append(int(entry.name))
        return found

    def clean(self) -> None:
        """Ends what a failed test left running."""
        self.type("scripts/run_proxy.sh stop --timeout 0")
        for pid in self.processes():
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        remove_pins(self.pins)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clean()


def port_in(said: str) -> int:
    found = re.search(r"^Proxy is running \(pid \d+\) on 127\.0\.0\.1:(\d+)$", said, re.MULTILINE)
    assert found, said
    return int(found[1])


class ReservedPort:
    """A port that the kernel picked and gives to no other process, but on which a server can be started. A bound socket
    that does not listen does not exclude another one if both set SO_REUSEADDR."""

    def __init__(self) -> None:
        self._socket = socket.socket()
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._socket.bind(("127.0.0.1", 0))
        self.number: int = self._socket.getsockname()[1]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()


class Hammer:
    """Clients that send requests as fast as a server answers. `answered` is the number of responses."""

    def __init__(self, port: int, clients: int = 2) -> None:
        self._port = port
        self._stop = threading.Event()
        self._counts = [0] * clients
        self._threads = [threading.Thread(target=self._ask, args=(number,)) for number in range(clients)]

    def _ask(self, number: int) -> None:
        while not self._stop.is_set():
            try:
                with Client(self._port) as client:
                    if client.ask(request("/ok")).status == 200:
                        self._counts[number] += 1
            except (OSError, EOFError):
                time.sleep(0.002)  # the server does not listen yet

    @property
    def answered(self) -> int:
        return sum(self._counts)

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


def alive(pid: int) -> bool:
    return parent_of(pid) != 0
