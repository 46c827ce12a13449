# SPDX-License-Identifier: Apache-2.0
"""Reads what a program writes to a terminal."""

import os
import select
from collections.abc import Callable

from harness.waiting import PATIENCE


def read_terminal(terminal: int, until: Callable[[bytes], object]) -> bytes:
    """Reads what the program writes to its terminal, until the condition holds or the program has ended."""
    seen = b""
    while not until(seen):
        ready, _, _ = select.select([terminal], [], [], PATIENCE)
        assert ready, f"nothing more came after {seen!r}"
        try:
            seen += os.read(terminal, 65536)
        except OSError:  # EIO: the other end has been closed
            return seen
    return seen
