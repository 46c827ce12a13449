# SPDX-License-Identifier: Apache-2.0
"""A network namespace behind a veth pair that spreads packets over all CPUs (RPS): there, unlike on loopback, a
tracing program is now and then interrupted on its CPU by another, and the kernel drops the inner event."""

import os
import subprocess
from types import TracebackType

import pytest

OUTER, INNER = "198.18.77.1", "198.18.77.2"  # RFC 2544's network for such tests


def run(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True, text=True)


class NetworkNamespace:
    """Named after this process, so that tests can run side by side. This end of the pair has OUTER's address."""

    def __init__(self) -> None:
        self.name = f"monitor-e2e-{os.getpid()}"
        self._outer, self._inner = f"mo{os.getpid()}", f"mi{os.getpid()}"
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
        run("ip", "address", "add", f"{OUTER}/30", "dev", self._outer)
        run("ip", "link", "set", self._outer, "up")
        self.inside("ip", "address", "add", f"{INNER}/30", "dev", self._inner)
        self.inside("ip", "link", "set", self._inner, "up")
        every_cpu = f"{(1 << (os.cpu_count() or 1)) - 1:x}"
        for prefix, device in (((), self._outer), (("ip", "netns", "exec", self.name), self._inner)):
            mask = f"/sys/class/net/{device}/queues/rx-0/rps_cpus"
            run(*prefix, "sh", "-c", f"echo {every_cpu} > {mask}")

    def inside(self, *command: str) -> None:
        run("ip", "netns", "exec", self.name, *command)

    def remove(self) -> None:
        # The pair goes with either of its ends.
        subprocess.run(["ip", "netns", "delete", self.name], check=False, capture_output=True)
        subprocess.run(["ip", "link", "delete", self._outer], check=False, capture_output=True)

    def __enter__(self) -> "NetworkNamespace":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.remove()
