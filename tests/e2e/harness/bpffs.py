# SPDX-License-Identifier: Apache-2.0
"""The BPF file system, and a directory on it for one test's `monitor attach`."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness.monitor import BINARY

BPFFS = Path("/sys/fs/bpf")


def bpffs_is_mounted() -> bool:
    mounts = [line.split() for line in Path("/proc/mounts").read_text().splitlines()]
    return any(mount[1] == str(BPFFS) and mount[2] == "bpf" for mount in mounts)


@contextmanager
def pin_directory() -> Iterator[Path]:
    """A path that does not exist yet. At the end, everything attached there is detached. If no BPF file system is
    mounted, monitor mounts one; it stays mounted, because others may use it by then."""
    directory = BPFFS / f"monitor-test-several-{os.getpid()}"
    try:
        yield directory
    finally:
        subprocess.run([BINARY, "detach", "--all", "--pins", str(directory)], check=True, capture_output=True)
        assert not directory.exists()
