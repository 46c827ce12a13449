# SPDX-License-Identifier: Apache-2.0
"""Runs the monitor and reads its JSON line by line."""

import json
import os
import signal
import subprocess
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from harness.waiting import PATIENCE

ROOT = Path(__file__).parents[3]
BINARY = os.environ.get("MONITOR_BINARY", str(ROOT / "build/release/monitor"))

# The profile of kernel hooks that every monitor uses. The tests run once under each profile.
PROFILE = os.environ.get("MONITOR_PROFILE", "auto")

Snapshot = dict[str, Any]


def run_monitor(*arguments: str, **options: Any) -> subprocess.CompletedProcess[str]:
    """Runs the monitor to its end."""
    return subprocess.run(
        [BINARY, *arguments], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=PATIENCE, **options
    )


@dataclass
class Feed:
    """The snapshots of one server."""

    lines: int = 0
    newest: Snapshot | None = None
    began: float = float("inf")  # when the monitor began to count, by our clock; the true moment is this one or earlier

    def add(self, snapshot: Snapshot) -> None:
        self.lines += 1
        self.newest = snapshot
        self.began = min(self.began, time.monotonic() - snapshot["observed_seconds"])

    def is_newer_than(self, moment: float) -> bool:
        """Whether the newest snapshot was taken after `moment`. On a busy machine older lines may still be in the
        pipe."""
        return self.newest is not None and self.began + self.newest["observed_seconds"] >= moment


class Monitor:
    """`monitor --pid PID --watch --json`, which counts from the moment that the constructor returns. If the options
    make it observe more servers, `pid` selects one. `command` is a prefix of the command line."""

    def __init__(
        self,
        pid: int,
        *options: str,
        interval: float = 0.05,
        selection: tuple[str, ...] | None = None,
        command: tuple[str, ...] = (),
    ) -> None:
        self.pid = pid
        selected = ["--pid", str(pid)] if selection is None else selection
        arguments = ["--profile", PROFILE, "--watch", "--json", "--interval", str(interval)]
        self._errors = tempfile.TemporaryFile("w+", errors="replace")  # noqa: SIM115  (closed by __exit__)
        self.process = subprocess.Popen(
            [*command, BINARY, *selected, *arguments, *options],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=self._errors,
        )
        self._condition = threading.Condition()
        self._feeds: defaultdict[int, Feed] = defaultdict(Feed)
        self.printed: list[int] = []  # the pids of the objects printed, in order
        self._broken: bytes | None = None
        self._ended = False
        self._reader = threading.Thread(target=self._read, daemon=True)
        try:
            with self._condition:  # held, so that the reader cannot add the first line before wait_for begins to wait
                self._reader.start()
                self.wait_for(lambda _: True, "the first line")
        except BaseException:
            self.kill()
            raise

    def _read(self) -> None:
        assert self.process.stdout
        for line in self.process.stdout:
            with self._condition:
                try:
                    snapshot = json.loads(line)
                    self._feeds[snapshot["target"]["pid"]].add(snapshot)
                    self.printed.append(snapshot["target"]["pid"])
                except ValueError:
                    self._broken = line
                self._condition.notify_all()
        with self._condition:
            self._ended = True
            self._condition.notify_all()

    def errors(self) -> str:
        self._errors.seek(0)
        return self._errors.read()

    def _at_work_on(self) -> str:
        """Where the monitor waits in the kernel, for one that prints nothing."""
        places = []
        for name in ("wchan", "syscall", "stack"):
            with suppress(OSError):
                places.append(f"{name}: {Path(f'/proc/{self.process.pid}/{name}').read_text().strip()}")
        return "the monitor is at " + "; ".join(places)

    def wait_for(
        self, predicate: Callable[[Snapshot], object], what: str, patience: float = PATIENCE, pid: int | None = None
    ) -> Snapshot:
        """Returns the first snapshot that was taken after this call and for which the predicate holds. The next line
        does not count, because it may be of a snapshot that was under way before the call."""
        called = time.monotonic()
        deadline = called + patience
        with self._condition:
            feed = self._feeds[pid or self.pid]
            first = feed.lines + 2 if feed.lines else 1
            while True:
                assert self._broken is None, f"a line that is not JSON: {self._broken!r}"
                if (
                    feed.newest is not None
                    and feed.lines >= first
                    and (first == 1 or feed.is_newer_than(called))
                    and predicate(feed.newest)
                ):
                    return feed.newest
                if self._ended:
                    raise AssertionError(f"the monitor ended before {what}; it printed: {self.errors()}")
                if not self._condition.wait(deadline - time.monotonic()):
                    raise AssertionError(
                        f"waited {patience:g} s in vain: {what}; the last snapshot: {feed.newest}; {self._at_work_on()}"
                    )

    def newest(self, pid: int) -> Snapshot | None:
        with self._condition:
            return self._feeds[pid].newest

    def shown(self, pid: int) -> Snapshot:
        """The newest snapshot of a server that has at least one."""
        newest = self.newest(pid)
        assert newest is not None
        return newest

    def next(self) -> Snapshot:
        """A snapshot taken after this call."""
        return self.wait_for(lambda _: True, "another line")

    def wait_idle(self) -> Snapshot:
        return self.wait_for(lambda snapshot: snapshot["active_concurrent"] == 0, "nothing is in flight")

    def wait_end(self) -> tuple[int, Snapshot]:
        """Waits until the monitor has ended. Returns its exit status and its last snapshot."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        assert self._broken is None, f"a line that is not JSON: {self._broken!r}"
        newest = self._feeds[self.pid].newest
        assert newest is not None
        return status, newest

    def stop(self) -> Snapshot:
        """Interrupts the monitor and returns its last snapshot, which it takes when it is interrupted."""
        self.process.send_signal(signal.SIGINT)
        status, last = self.wait_end()
        assert status == 0, f"exit {status} after SIGINT; it printed: {self.errors()}"
        return last

    def kill(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self._reader.join(PATIENCE)

    def __enter__(self) -> "Monitor":
        return self

    def __exit__(self, *_: object) -> None:
        self.kill()
        self._errors.close()
