# SPDX-License-Identifier: Apache-2.0
"""A server that does not listen yet is starting, or failing to start. The message says so before anything else."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.monitor import BINARY, PROFILE, run_monitor
from harness.private_proc import OwnProc
from harness.proxy import DEBIAN, VENV
from harness.server import kill_tree, tree
from harness.waiting import PATIENCE, wait_until

APPLICATIONS = {
    "broken.py": "raise RuntimeError('raised while loading')\n",
    "slow.py": "print('loading', flush=True)\nimport time\ntime.sleep(1000)\n",
    "ready.py": "async def app(scope, receive, send):\n    pass\n",
    "listener.py": "import socket, time\ns = socket.create_server(('127.0.0.1', 0))\ntime.sleep(1000)\n",
    "main.py": "import uvicorn\nimport slow\nuvicorn.run('ready:app', port=0)\n",
}


class Started:
    """What was started, and `monitor` that sees only this."""

    def __init__(self, directory: Path, stack: ExitStack) -> None:
        self.directory = directory
        self._stack = stack
        (directory / "proc").mkdir()
        self._proc = OwnProc(directory / "proc")
        self.log = directory / "server.log"

    def start(self, *command: str) -> int:
        with self.log.open("ab") as log:
            process = subprocess.Popen(command, cwd=self.directory, stdout=log, stderr=log)
        self._stack.callback(kill_tree, process)
        return process.pid

    def monitor(self, *arguments: str, roots: tuple[int, ...]) -> subprocess.CompletedProcess[str]:
        with ExitStack() as stack:
            seen = sorted({pid for root in roots for pid in tree(root)})
            self._proc.show(*seen)
            stack.callback(self._proc.hide, *seen)
            return subprocess.run(
                [*self._proc.command(), BINARY, *arguments],
                cwd="/",
                env=os.environ | {"LC_ALL": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=PATIENCE,
            )


@pytest.fixture
def started(tmp_path: Path) -> Iterator[Started]:
    for name, text in APPLICATIONS.items():
        (tmp_path / name).write_text(text)
    with ExitStack() as stack:
        yield Started(tmp_path, stack)


def uvicorn(python: str, application: str, *options: str) -> list[str]:
    return [python, "-m", "uvicorn", f"{application}:app", "--port", "0", *options]


@pytest.mark.parametrize("python", [VENV, DEBIAN], ids=["current", "debian"])
def test_workers_that_keep_ending_while_they_import(started: Started, python: str) -> None:
    """The current uvicorn replaces them without end, and Debian's waits for them without end."""
    pid = started.start(*uvicorn(python, "broken", "--workers", "2"))
    wait_until(lambda: "raised while loading" in started.log.read_text(), "a worker has failed")
    for arguments in (["--pid", str(pid)], [], ["--all"], ["attach", "--pid", str(pid)]):
        ended = run_monitor(*arguments) if "--pid" in arguments else started.monitor(*arguments, roots=(pid,))
        assert (ended.returncode, ended.stdout) == (3, ""), ended
        first, hint, *_ = ended.stderr.splitlines()
        assert first.startswith(f"monitor: process {pid} (uvicorn broken:app --port 0 --workers 2)")
        assert " is still starting, or failing to start: it and its " in first
        assert " have no listening socket after " in first
        assert hint == (
            f"  wait until it has loaded its application; if it does not, its output says why: {started.log}"
        )


def test_workers_that_are_replaced_are_mentioned(started: Started) -> None:
    pid = started.start(*uvicorn(VENV, "broken", "--workers", "2"))
    wait_until(
        lambda: "; its newest process is " in run_monitor("--pid", str(pid)).stderr,
        "the message names the newest process",
    )


@pytest.mark.parametrize("command", [uvicorn(VENV, "slow"), [VENV, "main.py"]], ids=["uvicorn", "main.py"])
def test_an_application_that_loads_slowly(started: Started, command: list[str]) -> None:
    pid = started.start(*command)
    wait_until(lambda: "loading" in started.log.read_text(), "it is loading")
    ended = run_monitor("--pid", str(pid), "--profile", PROFILE)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert f"monitor: process {pid} (" in ended.stderr
    assert "is still starting, or failing to start: it has no listening socket after " in ended.stderr


def test_strangers_come_after_the_advice(started: Started) -> None:
    loading = started.start(*uvicorn(VENV, "slow"))
    listener = started.start(VENV, "listener.py")
    ready = started.start(*uvicorn(VENV, "ready", "--lifespan", "off"))
    wait_until(lambda: "loading" in started.log.read_text(), "it is loading")
    wait_until(lambda: "Uvicorn running on" in started.log.read_text(), "the other one is ready")
    # A guess is not taken in place of a server that is starting.
    plain = started.monitor("--interval", "0.05", roots=(loading, listener))
    assert (plain.returncode, plain.stdout) == (3, "")
    assert plain.stderr.startswith(f"monitor: process {loading} (")
    assert str(listener) not in plain.stderr
    named = started.monitor("--pid", str(loading), roots=(loading, listener, ready))
    first, hint, others, other = named.stderr.splitlines()
    assert "is still starting, or failing to start" in first
    assert hint.startswith("  wait until ")
    assert others == "  one server was found on this machine:"
    assert other.startswith(f"    sudo monitor --pid {ready} ")
    # A server that is ready is shown, and the one that is starting is named.
    shown = started.monitor("--interval", "0.05", "--profile", PROFILE, roots=(loading, ready))
    assert (shown.returncode, shown.stderr) == (0, "")
    assert f"\npassed over: pid {loading}: uvicorn slow:app (does not listen yet)\n" in shown.stdout


def test_the_list(started: Started) -> None:
    """For people it names what is starting; the JSON has only servers that listen."""
    loading = started.start(*uvicorn(VENV, "slow"))
    wait_until(lambda: "loading" in started.log.read_text(), "it is loading")
    text = started.monitor("ls", roots=(loading,))
    assert (text.returncode, text.stdout) == (0, "No HTTP server in Python was found.\n")
    assert f"monitor: process {loading} (" in text.stderr
    assert "is still starting, or failing to start" in text.stderr
    json = started.monitor("ls", "--json", roots=(loading,))
    assert (json.returncode, json.stdout, json.stderr) == (0, '{"servers":[]}\n', "")
