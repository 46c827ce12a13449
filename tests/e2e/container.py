# SPDX-License-Identifier: Apache-2.0
"""What a container is to the kernel: pid, network and mount namespaces of its own, here made by hand around a server.
The server knows itself by other pids than the host does."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

import pytest
from network import run
from server import AppServer, tree

CLONE_NEWNET = 0x40000000

# The init of the pid namespace is the command itself, and ends with unshare.
ISOLATED = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "--mount")


def _enter(namespace: IO[bytes]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns {namespace.name}")


class Network:
    """A network namespace and a veth pair into it, named and numbered after this process."""

    def __init__(self) -> None:
        self.name = f"monitor-container-{os.getpid()}"
        self._outer, self._inner = f"co{os.getpid()}", f"ci{os.getpid()}"
        # One of the networks of four addresses in RFC 2544's 198.19.0.0/16.
        base = os.getpid() % 16384 * 4
        self.outer, self.inner = (f"198.19.{(base + host) >> 8}.{(base + host) & 255}" for host in (1, 2))

    def __enter__(self) -> "Network":
        try:
            run("ip", "netns", "add", self.name)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespace: {error} {getattr(error, 'stderr', '')}")
        try:
            run("ip", "link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self.name)
            run("ip", "address", "add", f"{self.outer}/30", "dev", self._outer)
            run("ip", "link", "set", self._outer, "up")
            run("ip", "-n", self.name, "address", "add", f"{self.inner}/30", "dev", self._inner)
            for device in (self._inner, "lo"):
                run("ip", "-n", self.name, "link", "set", device, "up")
        except BaseException:
            self.remove()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self.remove()

    def remove(self) -> None:
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self._outer], check=False, capture_output=True)

    def command(self) -> tuple[str, ...]:
        """What to put in front of a command that is to run in there."""
        return ("ip", "netns", "exec", self.name)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread makes meanwhile are in there."""
        with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/run/netns/{self.name}", "rb") as theirs:
            _enter(theirs)
            try:
                yield
            finally:
                _enter(ours)


def inner_pid(pid: int) -> int:
    """The pid of a process in its own namespace."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("NSpid:"):
            return int(line.split()[-1])
    raise AssertionError(f"/proc/{pid}/status has no NSpid")


class Container(AppServer):
    """A server of app.py whose command is run isolated. `pid` and workers() are pids of the host."""

    def __init__(
        self, directory: Path, network: Network, command: list[str], workers: int = 1, unix: Path | None = None
    ) -> None:
        isolated = [*network.command(), *ISOLATED, *command]
        super().__init__(directory, "a server in a container", isolated, workers, unix)

    def _listens(self, unix: Path | None) -> bool:
        # What was started is unshare, which waits for the init of the namespace.
        self.pid = tree(self._process.pid)[1]
        return super()._listens(unix)

    def workers(self) -> list[int]:
        started = set(self.started_workers())
        return sorted(pid for pid in tree(self.pid) if inner_pid(pid) in started)
