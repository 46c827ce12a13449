# SPDX-License-Identifier: Apache-2.0
"""CPU time as the kernel counts it, to compare figures with."""

import os
from pathlib import Path

from harness.monitor import Snapshot


def cpu_seconds(pid: int) -> float:
    """Of a process and of its children that have ended and were reaped."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


def reported_seconds(earlier: Snapshot, later: Snapshot) -> float:
    """What `later` reports for the time between the two, which follow each other."""
    return float(later["cpu_percent"] / 100 * (later["observed_seconds"] - earlier["observed_seconds"]))
