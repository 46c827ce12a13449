# SPDX-License-Identifier: Apache-2.0
"""The scripts run by a user who is not root: with sudo, without sudo, and beside root's own server."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from harness.bpffs import BPFFS
from harness.capabilities import DAC_READ_SEARCH, SETPCAP, TO_ATTACH, give_capabilities
from harness.monitor import BINARY
from harness.proxy import CONCURRENCY, port_in
from harness.server import ROOT, Server
from harness.waiting import PATIENCE

NOBODY = 65534
PINS = BPFFS / f"monitor-users-{os.getpid()}"  # only root may make it
RUN = "scripts/run_proxy.sh"
SHOW = "scripts/monitor_uvicorn.sh"


class Place:
    """A copy of the scripts that other users may run, with only the system's uvicorn and a logs/ of its own."""

    def __init__(self, top: Path) -> None:
        self.top = top
        top.chmod(0o755)
        shutil.copytree(ROOT / "scripts", top / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        shutil.copy(BINARY, top / "monitor")
        (top / "bin").mkdir()
        (top / "logs").mkdir()
        os.chown(top / "logs", NOBODY, NOBODY)
        self.log = top / "logs/proxy.log"

    def typed_by(self, user: int, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["bash", "-c", line],
            user=user,
            group=user,
            extra_groups=[],
            capture_output=True,
            text=True,
            cwd=self.top,
            stdin=subprocess.DEVNULL,
            timeout=PATIENCE,
            env={
                "PATH": f"{self.top}/bin:/usr/bin:/bin",
                "MONITOR_BINARY": f"{self.top}/monitor",
                "MONITOR_PINS": str(PINS),
            },
        )

    def as_nobody(self, line: str) -> subprocess.CompletedProcess[str]:
        return self.typed_by(NOBODY, line)

    def add_sudo(self, text: str) -> None:
        (self.top / "bin/sudo").write_text(f"#!/bin/sh\n{text}\n")
        (self.top / "bin/sudo").chmod(0o755)

    def add_working_sudo(self) -> None:
        """A sudo that asks for no password and, in place of root, gives the capabilities that attaching needs. They
        come from the file of setpriv."""
        copy = self.top / "bin/setpriv"
        shutil.copy("/usr/bin/setpriv", copy)
        give_capabilities(copy, SETPCAP, *TO_ATTACH.values())
        words = ",".join(TO_ATTACH)
        self.add_sudo(
            f'[ "$1" != -n ] || shift\necho "$*" >>"{self.top}/logs/sudo"\n'
            f'exec "{copy}" --inh-caps={words} --ambient-caps={words} -- "$@"'
        )

    def sudo_was_asked(self) -> str:
        return (self.top / "logs/sudo").read_text()


@pytest.fixture
def place() -> Iterator[Place]:
    with TemporaryDirectory(prefix="monitor-e2e-") as directory:
        place = Place(Path(directory))
        yield place
        place.typed_by(0, f"{RUN} stop --timeout 0")


def test_without_privileges_the_server_starts(place: Place) -> None:
    place.add_sudo("echo sudo: a password is required >&2; exit 1")
    started = place.as_nobody(f"{RUN} start --port 0")
    assert started.returncode == 0, started.stderr
    assert port_in(started.stdout)
    assert "the server starts, but without concurrency lines in logs/proxy.log" in started.stderr
    assert "CAP_BPF" in started.stderr
    assert started.stderr.count("\n") == 1  # one line has all of it
    assert "run it as root" in started.stderr
    status = place.as_nobody(f"{RUN} status")
    assert status.returncode == 0
    assert "No figures: " in status.stdout
    assert "CAP_BPF" in status.stdout
    assert "password is required" in place.as_nobody(SHOW).stderr  # it asks, because a person is there to answer
    (place.top / "bin/sudo").unlink()
    refused = place.as_nobody(SHOW)
    assert (refused.returncode, refused.stdout) == (4, "")
    assert "CAP_BPF" in refused.stderr
    assert place.as_nobody(f"{RUN} stop").returncode == 0
    assert not (place.top / "scripts/demo/__pycache__").exists()


def test_sudo_is_used_only_for_the_monitor(place: Place) -> None:
    place.add_working_sudo()
    started = place.as_nobody(f"{RUN} start --port 0 --monitor-interval 0.05 --no-system")
    assert (started.returncode, started.stderr) == (0, "")
    assert "Concurrency lines go to logs/proxy.log every 0.05 s" in started.stdout
    pid = int((place.top / "logs/proxy.pid").read_text())
    assert Path(f"/proc/{pid}").stat().st_uid == place.log.stat().st_uid == NOBODY
    status = place.as_nobody(f"{RUN} status").stdout
    assert CONCURRENCY.search(status)
    assert "[SYSTEM]" not in status + place.log.read_text()
    shown = place.as_nobody(f"{SHOW} --json --interval 0.05")
    assert json.loads(shown.stdout)["target"]["pid"] == pid
    asked = place.sudo_was_asked().splitlines()
    assert asked[0] == "true"
    assert all(line == "true" or line.startswith(f"{place.top}/monitor ") for line in asked)
    assert place.as_nobody(f"{RUN} stop").returncode == 0
    assert place.log.read_text().endswith(f"monitor: the server (pid {pid}) has ended\n")


def test_capabilities_of_the_program_itself_are_enough(place: Place) -> None:
    give_capabilities(place.top / "monitor", *TO_ATTACH.values())
    place.add_sudo("exit 1")
    started = place.as_nobody(f"{RUN} start --port 0")
    assert (started.returncode, started.stderr) == (0, "")
    assert CONCURRENCY.search(place.log.read_text())
    # To read and write root's directory of pins takes more capabilities than to count.
    assert f"\nOnly these lines count from the start: make the directory {PINS}: Permission denied; " in started.stdout
    shown = place.as_nobody(f"{SHOW} --json --interval 0.05")
    assert shown.returncode == 0, shown.stderr


def test_another_users_server_needs_one_more_capability(place: Place, start_server: Callable[..., Server]) -> None:
    pid = start_server().pid
    program = place.top / "monitor"
    give_capabilities(program, *TO_ATTACH.values())
    refused = place.as_nobody(f"{SHOW} --pid {pid} --json")
    assert (refused.returncode, refused.stdout) == (4, "")
    assert f"the sockets of process {pid} (" in refused.stderr
    assert "CAP_DAC_READ_SEARCH for another user's process" in refused.stderr
    give_capabilities(program, DAC_READ_SEARCH, *TO_ATTACH.values())
    shown = place.as_nobody(f"{SHOW} --pid {pid} --json --interval 0.05")
    assert json.loads(shown.stdout)["target"]["pid"] == pid


def test_the_server_of_root(place: Place) -> None:
    started = place.typed_by(0, f"umask 022; ENABLE_CONCURRENCY_MONITOR=false {RUN} start --port 0")
    assert started.returncode == 0, started.stderr
    pid = int((place.top / "logs/proxy.pid").read_text())
    status = place.as_nobody(f"{RUN} status")
    assert status.returncode == 0
    assert f"Proxy is running (pid {pid}), up " in status.stdout
    assert "on an address that only its user and root can see" in status.stdout
    refused = place.as_nobody(f"{RUN} stop")
    assert refused.returncode == 1
    assert f"pid {pid} cannot be ended: " in refused.stderr
    assert "try it with sudo" in refused.stderr
    assert place.typed_by(0, f"{RUN} stop").returncode == 0
    again = place.as_nobody(f"{RUN} start --port 0")
    assert again.returncode == 1
    assert "logs/proxy.log cannot be written" in again.stderr
    assert "set PROXY_LOG_DIR to another directory" in again.stderr
