# SPDX-License-Identifier: Apache-2.0
"""Runs app.py under a real server, usually a uvicorn of some flavour, on a free port.

It reads the application's own counts from files, without a socket."""

import errno
import os
import signal
import socket
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from harness.client import Address
from harness.waiting import wait_until
from tally import Tally

ROOT = Path(__file__).parents[3]
PROGRAMS = ROOT / "tests/e2e/programs"


@dataclass(frozen=True)
class Flavour:
    """One way to run uvicorn: its release (Debian's packages or the current one), HTTP parser and event loop."""

    uvicorn: str
    http: str
    loop: str

    @property
    def python(self) -> str:
        return "/usr/bin/python3" if self.uvicorn == "debian" else str(ROOT / "build/venv/bin/python")

    def __str__(self) -> str:
        return f"{self.uvicorn}-{self.http}-{self.loop}"


FLAVOURS = [
    Flavour(uvicorn, http, loop)
    for uvicorn in ("debian", "current")
    for http in ("h11", "httptools")
    for loop in ("asyncio", "uvloop")
]
ZTTP = Flavour("current", "zttp", "uvloop")
FASTEST = [Flavour(uvicorn, "httptools", "uvloop") for uvicorn in ("debian", "current")]
USUAL = FASTEST[1]


def parent_of(pid: int) -> int:
    """The parent's pid; 0 if the process has ended or is a zombie."""
    try:
        state, parent = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[:2]
    except (FileNotFoundError, ProcessLookupError):
        return 0
    return 0 if state == "Z" else int(parent)


def tree(root: int) -> list[int]:
    """The process and its descendants, parents first."""
    parents = {int(entry.name): parent_of(int(entry.name)) for entry in Path("/proc").glob("[0-9]*")}
    found = [root]
    for pid in found:
        found += sorted(child for child, parent in parents.items() if parent == pid)
    return found


def kill_tree(root: subprocess.Popen[Any]) -> None:
    """Ends the process and its descendants at once. The root goes first, so that it starts no replacements."""
    for pid in tree(root.pid):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    root.wait()


def listening_ports(pid: int) -> dict[str, int]:
    """Inode → port of the TCP sockets that listen in the process's network namespace."""
    tables = [Path(f"/proc/{pid}/net/{name}").read_text() for name in ("tcp", "tcp6")]
    lines = [line for table in tables for line in table.splitlines()[1:]]
    rows = [line.split() for line in lines]
    return {row[9]: int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A"}


def sockets_of(pid: int) -> set[str]:
    inodes = set()
    with suppress(FileNotFoundError, ProcessLookupError):  # it has ended
        for descriptor in Path(f"/proc/{pid}/fd").iterdir():
            try:
                name = os.readlink(descriptor)
            except FileNotFoundError:
                continue
            if name.startswith("socket:["):
                inodes.add(name[len("socket:[") : -1])
    return inodes


def listening_unix_sockets(pid: int) -> set[str]:
    """Paths of the Unix sockets that listen in the process's network namespace."""
    rows = [line.split() for line in Path(f"/proc/{pid}/net/unix").read_text(errors="replace").splitlines()[1:]]
    accepting = 0x10000  # __SO_ACCEPTCON of include/uapi/linux/net.h
    return {row[7] for row in rows if len(row) > 7 and int(row[3], 16) & accepting}


class AppServer:
    """A running server of app.py, of any kind. `directory` is its own and holds the counts, the gates and the log. It
    is ready when `workers` processes have started the application and it listens at a TCP port or at the path
    `unix`."""

    def __init__(
        self,
        directory: Path,
        name: str,
        command: list[str],
        workers: int = 1,
        unix: Path | None = None,
        inherited: tuple[int, ...] = (),
    ) -> None:
        self.directory = directory
        self.name = name
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WEB_"))}
        environment |= {"E2E_DIRECTORY": str(directory), "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(PROGRAMS)}
        with (directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                command, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=inherited
            )
        self.pid = self._process.pid
        self.ports: list[int] = []
        try:
            wait_until(lambda: self.alive() and len(self.started_workers()) == workers, f"{name} starts")
            wait_until(lambda: self.alive() and self._listens(unix), f"{name} listens")
        except BaseException:
            self.stop()
            raise
        self.address: Address = unix or self.ports[0]

    @property
    def port(self) -> int:
        """The first TCP port on which it listens."""
        return self.ports[0]

    def alive(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{self.name} ended:\n{self.log()}")
        return True

    def is_running(self) -> bool:
        return self._process.poll() is None

    def _listens(self, unix: Path | None) -> bool:
        if unix:
            return str(unix) in listening_unix_sockets(self.pid)
        ports = listening_ports(self.pid)
        held = set().union(*map(sockets_of, tree(self.pid)))
        self.ports = sorted({ports[inode] for inode in held if inode in ports})
        return bool(self.ports)

    def log(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")

    def started_workers(self) -> list[int]:
        """Pids of all processes in which the application has started, including those that have ended since."""
        return sorted(int(path.stem) for path in self.directory.glob("*.tally"))

    def workers(self) -> list[int]:
        """Pids of those that are still running."""
        living = set(tree(self.pid))
        return [pid for pid in self.started_workers() if pid in living]

    def tally(self) -> Tally:
        return Tally.read(self.directory)

    def open_gate(self, name: str, count: int = 1) -> None:
        """Lets `count` requests through the gate, in every worker."""
        for worker in self.workers():
            try:
                fifo = os.open(self.directory / f"{worker}.gates", os.O_WRONLY | os.O_NONBLOCK)
            except OSError as error:
                if error.errno != errno.ENXIO:
                    raise
                continue  # no reader: the worker has ended meanwhile
            os.write(fifo, f"{name} {count}\n".encode())
            os.close(fifo)

    def wait_at_gate(self, key: str, count: int) -> None:
        wait_until(lambda: self.tally().of(key, "waiting") == count, f"{count} of {key} wait at their gate")

    def unblock(self, name: str) -> None:
        (self.directory / name).touch()

    def stop(self) -> None:
        kill_tree(self._process)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Server(AppServer):
    """A uvicorn of the given flavour, on a free port of `host`, a Unix socket or an inherited socket. An inherited Unix
    socket has the path `unix`."""

    def __init__(
        self,
        directory: Path,
        flavour: Flavour = USUAL,
        *options: str,
        workers: int = 1,
        host: str = "127.0.0.1",
        unix: Path | None = None,
        inherited: socket.socket | None = None,
        application: str = "app:app",
    ) -> None:
        self.flavour = flavour
        self.host = host
        command = [flavour.python, "-m", "uvicorn"]
        if inherited:
            command += ["--fd", str(inherited.fileno())]
        elif unix:
            command += ["--uds", str(unix)]
        else:
            command += ["--host", host, "--port", "0"]
        command += ["--http", flavour.http, "--loop", flavour.loop, "--lifespan", "on"]
        command += ["--no-access-log", "--log-level", "warning", *options]
        if workers > 1:
            command += ["--workers", str(workers)]
        passed = (inherited.fileno(),) if inherited else ()
        super().__init__(directory, str(flavour), [*command, application], workers, unix, passed)
