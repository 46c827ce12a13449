# SPDX-License-Identifier: Apache-2.0
"""Runs a real uvicorn with app.py: which one (a flavour), on a free port, until it listens; and asks it, past all
sockets, what it counted."""

import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tally import Tally
from waiting import wait_until

HERE = Path(__file__).parent
ROOT = HERE.parent.parent


@dataclass(frozen=True)
class Flavour:
    """One way to run uvicorn: whose (Debian's packages or the current release), its HTTP parser, its event loop."""

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
    """0 for a process that is gone, or is a zombie."""
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


def listening_ports() -> dict[str, int]:
    """Inode → port of the TCP sockets that listen."""
    lines = [line for name in ("tcp", "tcp6") for line in Path(f"/proc/net/{name}").read_text().splitlines()[1:]]
    rows = [line.split() for line in lines]
    return {row[9]: int(row[1].partition(":")[2], 16) for row in rows if row[3] == "0A"}


def sockets_of(pid: int) -> set[str]:
    inodes = set()
    for descriptor in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name = os.readlink(descriptor)
        except FileNotFoundError:
            continue
        if name.startswith("socket:["):
            inodes.add(name[len("socket:[") : -1])
    return inodes


class Server:
    """A running uvicorn. `directory` is its own: the counts, the gates and the log are there."""

    def __init__(
        self,
        directory: Path,
        flavour: Flavour = USUAL,
        *options: str,
        workers: int = 1,
        host: str = "127.0.0.1",
        application: str = "app:app",
    ) -> None:
        self.directory = directory
        self.flavour = flavour
        self.host = host
        command = [flavour.python, "-m", "uvicorn", "--app-dir", str(HERE), "--host", host, "--port", "0"]
        command += ["--http", flavour.http, "--loop", flavour.loop, "--lifespan", "on"]
        command += ["--no-access-log", "--log-level", "warning", *options]
        if workers > 1:
            command += ["--workers", str(workers)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "WEB_"))}
        environment |= {"E2E_DIRECTORY": str(directory), "PYTHONDONTWRITEBYTECODE": "1"}
        with (directory / "server.log").open("wb") as log:
            self._process = subprocess.Popen(
                [*command, application], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.pid = self._process.pid
        try:
            wait_until(lambda: self._alive() and len(self.started_workers()) == workers, f"{flavour} starts")
            self.port = wait_until(lambda: self._alive() and self._listening_port(), f"{flavour} listens")
        except BaseException:
            self.stop()
            raise

    def _alive(self) -> bool:
        if self._process.poll() is not None:
            raise AssertionError(f"{self.flavour} ended:\n{self.log()}")
        return True

    def _listening_port(self) -> int:
        ports = listening_ports()
        return next((ports[inode] for inode in sockets_of(self.pid) if inode in ports), 0)

    def log(self) -> str:
        return (self.directory / "server.log").read_text(errors="replace")

    def started_workers(self) -> list[int]:
        """Processes in which the application has started, those included that have ended since."""
        return sorted(int(path.stem) for path in self.directory.glob("*.tally"))

    def workers(self) -> list[int]:
        """The same, living ones only."""
        living = set(tree(self.pid))
        return [pid for pid in self.started_workers() if pid in living]

    def tally(self) -> Tally:
        return Tally.read(self.directory)

    def open_gate(self, name: str, count: int = 1) -> None:
        """Lets `count` waiters through, in every worker."""
        for worker in self.workers():
            with (self.directory / f"{worker}.gates").open("wb", buffering=0) as fifo:
                fifo.write(f"{name} {count}\n".encode())

    def wait_at_gate(self, key: str, count: int) -> None:
        wait_until(lambda: self.tally().of(key, "waiting") == count, f"{count} of {key} wait at their gate")

    def unblock(self, name: str) -> None:
        (self.directory / name).touch()

    def stop(self) -> None:
        """Ends the whole tree at once. The root goes first, so that it replaces nobody."""
        for pid in tree(self.pid):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                pass
        self._process.wait()

    def __enter__(self) -> "Server":
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
