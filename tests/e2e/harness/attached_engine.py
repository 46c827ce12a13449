# SPDX-License-Identifier: Apache-2.0
"""The commands of one attached engine, and its figures compared with what the application counted.

Each test pins its engine in a directory of its own, because other tests run at the same time."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

from harness.kernel_objects import Objects, all_objects, held_by_any_process, pinned_under, unaccounted_for
from harness.monitor import BINARY, PROFILE, Snapshot, run_monitor
from harness.observation import CLASSES, figure_by_key
from harness.server import AppServer
from harness.waiting import PATIENCE, wait_until
from tally import Tally

Ended = subprocess.CompletedProcess[str]
# The profile, which every attach of the tests passes.
HOOKS = ("--profile", PROFILE)


def remove_pins(directory: Path) -> None:
    """Removes the pins directly, without `monitor`."""
    for path in sorted(directory.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    if directory.exists():
        directory.rmdir()


class Engine:
    """An engine that may be pinned in `pins`."""

    def __init__(self, pins: Path) -> None:
        self.pins = pins
        self.environment = os.environ | {"MONITOR_PINS": str(pins)}

    def run(self, *arguments: object, **options: Any) -> Ended:
        """Runs one command to its end, whether it succeeds or fails."""
        return run_monitor(*map(str, arguments), env=self.environment, **options)

    def done(self, *arguments: object, **options: Any) -> str:
        """Runs one command that succeeds without a complaint; returns its output."""
        ended = self.run(*arguments, **options)
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def start(self, *arguments: object, **options: Any) -> "subprocess.Popen[str]":
        """Starts one command."""
        command = [BINARY, *map(str, arguments)]
        streams = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
        return subprocess.Popen(command, env=self.environment, **(streams | options))

    @staticmethod
    def attach_arguments(*pids: int) -> list[object]:
        return ["attach", *HOOKS, *(word for pid in pids for word in ("--pid", pid))]

    def attach(self, *pids: int, options: tuple[object, ...] = ()) -> str:
        return self.done(*self.attach_arguments(*pids), *options)

    def detach(self, *pids: int) -> str:
        return self.done("detach", *(word for pid in pids for word in ("--pid", pid)))

    def sessions(self) -> dict[str, Any]:
        return dict(json.loads(self.done("sessions", "--json")))

    def targets(self) -> list[int]:
        """Pids of the attached servers. The command that lists them cleans up first."""
        return sorted(session["pid"] for session in self.sessions()["sessions"])

    def snapshot(self, pid: int) -> Snapshot:
        return dict(json.loads(self.done("--pid", pid, "--json")))

    def wait_for(self, pid: int, predicate: Callable[[Snapshot], object], what: str) -> Snapshot:
        """Takes one snapshot after another, each with a new command, until the predicate holds."""
        newest: Snapshot = {}

        def holds() -> bool:
            nonlocal newest
            newest = self.snapshot(pid)
            return bool(predicate(newest))

        try:
            wait_until(holds, what)
        except AssertionError as error:
            raise AssertionError(f"{error}; the last snapshot: {newest}") from None
        return newest

    # ---- without any command ----

    def is_there(self) -> bool:
        return (self.pins / "engine").exists()

    def pin(self, name: str) -> Path:
        """The pin of a map, program or link, for example "maps/engine"."""
        return self.pins / "engine" / name

    def objects(self) -> Objects:
        return pinned_under(self.pins)

    def assert_nothing_left(self, of: Objects) -> None:
        """No pins, and no objects in the kernel."""
        assert not self.pins.exists(), sorted(self.pins.rglob("*"))
        wait_until(lambda: not of & all_objects(), "the engine's objects are gone")

    def assert_no_leak(self, before: Objects) -> None:
        """Every link existed `before`, is pinned, or is held by a process."""
        wait_until(lambda: not unaccounted_for(before), "links that no process holds are gone")
        assert not (self.pins / "new").exists()
        assert not (self.pins / "old").exists()

    def remove(self) -> None:
        """Cleans up after a test, whatever happened."""
        try:
            self.run("detach", "--all")
        finally:
            remove_pins(self.pins)


def assert_no_process_holds(objects: Objects) -> None:
    """A bpftool of another test, which lists all objects, may hold them for an instant."""
    wait_until(lambda: not objects & held_by_any_process(), "no process holds the engine's objects")


class Counted:
    """An attached server, and what the application has counted since. Attach while no request is in flight."""

    def __init__(self, engine: Engine, server: AppServer, before: Tally) -> None:
        self.engine = engine
        self.server = server
        self._before = before

    def tally(self) -> Tally:
        return self.server.tally() - self._before

    def settle(self) -> Snapshot:
        """Returns a snapshot with nothing in flight and as many ended requests as the application began."""
        return self.engine.wait_for(
            self.server.pid,
            lambda s: s["active_concurrent"] == 0 and s["total_requests"] == self.tally().total(),
            f"nothing in flight, and a total equal to the application's of {self.tally()}",
        )

    def assert_equal(self, snapshot: Snapshot) -> None:
        tally = self.tally()
        known = set(tally.by_key())
        assert snapshot["total_requests"] == tally.total()
        assert figure_by_key(snapshot, "completed", known) == tally.by_key()
        assert figure_by_key(snapshot, "active", known) == {}
        for status_class in CLASSES:
            assert figure_by_key(snapshot, status_class, known) == tally.by_key(status_class), status_class
        assert snapshot["undercount_by_cause"] == {}


def attach_counted(engine: Engine, server: AppServer, *options: object) -> Counted:
    before = server.tally()
    engine.attach(server.pid, options=options)
    return Counted(engine, server, before)


def end(process: "subprocess.Popen[str]", number: int = signal.SIGKILL) -> tuple[int, str, str]:
    """Ends the process, unless it has ended. Returns its status, stdout and stderr."""
    if process.poll() is None:
        process.send_signal(number)
    out, err = process.communicate(timeout=PATIENCE)
    return process.returncode, out, err
