# SPDX-License-Identifier: Apache-2.0
"""Waits for a condition; the tests wait in no other way."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

T = TypeVar("T")

# Only a failure takes this long, even on a slow and busy machine. An emulated machine needs more.
PATIENCE = float(os.environ.get("MONITOR_TEST_PATIENCE", 30))


def wait_until(condition: Callable[[], T], what: str, patience: float = PATIENCE) -> T:
    """Polls the condition until it is true, and returns its value."""
    deadline = time.monotonic() + patience
    while not (answer := condition()):
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {patience:g} s in vain: {what}")
        time.sleep(0.005)
    return answer


@contextmanager
def stopped_by_sigterm(process: "subprocess.Popen[Any]") -> Iterator["subprocess.Popen[Any]"]:
    """Runs the process during the block, then sends SIGTERM and expects exit status 0."""
    try:
        yield process
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == 0
    finally:
        process.kill()
        process.wait()
