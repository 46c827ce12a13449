# SPDX-License-Identifier: Apache-2.0
"""A /proc that shows only chosen processes, so that `monitor --all` does not see the servers of other tests.

It is a part of the real /proc, shown in a mount namespace."""

import os
from pathlib import Path

PROC = Path("/proc")

# $1 gets the real /proc; $2 takes its place.
ENTER = 'mount --rbind /proc "$1" && mount --bind "$2" /proc && shift 2 && exec "$@"'


class OwnProc:
    def __init__(self, directory: Path) -> None:
        self._real, self._shown = directory / "real", directory / "shown"
        self._real.mkdir()
        self._shown.mkdir()
        for name in os.listdir(PROC):
            if not name.isdecimal():
                self.show(name)

    def show(self, *names: str | int) -> None:
        for name in names:
            (self._shown / str(name)).symlink_to(self._real / str(name))

    def hide(self, *names: str | int) -> None:
        for name in names:
            (self._shown / str(name)).unlink()

    def command(self) -> tuple[str, ...]:
        """The prefix of a command that is to see this /proc. The command keeps its pid."""
        return ("unshare", "--mount", "sh", "-c", ENTER, "sh", str(self._real), str(self._shown))
