# SPDX-License-Identifier: Apache-2.0
"""A network namespace connected by a veth pair, so that traffic crosses a network device."""

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import IO

import pytest

CLONE_NEWNET = 0x40000000  # include/uapi/linux/sched.h


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


def enter(namespace: IO[bytes]) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(namespace.fileno(), CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), f"setns {namespace.name}")


@contextmanager
def own_network() -> Iterator[None]:
    """A network namespace for this thread alone, with only a loopback device and every port free. Whatever the thread
    connects or starts meanwhile is in it."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/thread-self/ns/net", "rb") as outer:
        if libc.unshare(CLONE_NEWNET) != 0:
            pytest.skip(f"no network namespace: {os.strerror(ctypes.get_errno())}")
        try:
            run("ip", "link", "set", "lo", "up")
            yield
        finally:
            enter(outer)


class NetworkNamespace:
    """Named and numbered after this process, so that tests can run side by side. The host's end of the pair has the
    address `outer`, the other end `inner`."""

    def __init__(self) -> None:
        self.name = f"monitor-e2e-{os.getpid()}"
        self._outer, self._inner = f"mo{os.getpid()}", f"mi{os.getpid()}"
        # One of the /30 networks of 198.18.0.0/15, which is reserved for such tests (RFC 2544).
        first = os.getpid() % 32768 * 4
        self.outer, self.inner = (
            f"198.{18 + (host >> 16)}.{host >> 8 & 255}.{host & 255}" for host in (first + 1, first + 2)
        )
        try:
            run("ip", "netns", "add", self.name)
        except (OSError, subprocess.CalledProcessError) as error:
            pytest.skip(f"no network namespace: {error} {getattr(error, 'stderr', '')}")
        try:
            self._connect()
        except BaseException:
            self.remove()
            raise

    def _connect(self) -> None:
        run("ip", "link", "add", self._outer, "type", "veth", "peer", "name", self._inner, "netns", self.name)
        run("ip", "address", "add", f"{self.outer}/30", "dev", self._outer)
        run("ip", "link", "set", self._outer, "up")
        self.run("ip", "address", "add", f"{self.inner}/30", "dev", self._inner)
        for device in (self._inner, "lo"):
            self.run("ip", "link", "set", device, "up")

    def spread_packets(self) -> None:
        """Spreads packets over all CPUs (RPS). Then, unlike on loopback, a tracing program is sometimes interrupted on
        its CPU by another one, and the kernel drops the inner event."""
        every_cpu = f"{(1 << (os.cpu_count() or 1)) - 1:x}"
        for runs, device in ((run, self._outer), (self.run, self._inner)):
            runs("sh", "-c", f"echo {every_cpu} > /sys/class/net/{device}/queues/rx-0/rps_cpus")

    def command(self) -> tuple[str, ...]:
        """The prefix of a command that is to run in the namespace."""
        return ("ip", "netns", "exec", self.name)

    def run(self, *command: str) -> None:
        run(*self.command(), *command)

    @contextmanager
    def inside(self) -> Iterator[None]:
        """Sockets that this thread opens in the block are in the namespace."""
        with open("/proc/thread-self/ns/net", "rb") as ours, open(f"/run/netns/{self.name}", "rb") as theirs:
            enter(theirs)
            try:
                yield
            finally:
                enter(ours)

    def remove(self) -> None:
        # Deleting either end deletes the pair.
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self._outer], check=False, capture_output=True)

    def __enter__(self) -> "NetworkNamespace":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()
