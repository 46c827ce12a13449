# SPDX-License-Identifier: Apache-2.0
"""A server in its virtual environment, in a directory of its own, until it is ended with all that it started."""

import os
import re
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from contextlib import ExitStack, suppress
from ctypes import CDLL
from pathlib import Path

from harness.client import Client
from harness.server import tree
from harness.waiting import wait_until
from own_count import Counted, read_log
from server import Request, Server, Values

PATIENCE = 180  # an application of a thousand modules takes a minute to start on a busy machine
POLITE = 5  # seconds
SURE = 5  # listings without a process
PR_SET_CHILD_SUBREAPER = 36
WRAPPER = Path(__file__).parent / "wrapper"


def adopt_orphans() -> None:
    """Children whose parent has ended become ours, so that none of them is left behind."""
    CDLL(None).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def end_children() -> None:
    """Ends everything that this process started: politely at first, then again and again, until nothing is left."""
    begin = time.monotonic()
    asked: set[int] = set()
    empty = 0
    while empty < SURE:  # a process whose parent has just ended can be missing from one listing
        pids = tree(os.getpid())[1:]
        empty = 0 if pids else empty + 1
        politely = time.monotonic() < begin + POLITE
        for pid in pids:
            if not politely or pid not in asked:
                asked.add(pid)
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGTERM if politely else signal.SIGKILL)
        time.sleep(0.05)
        with suppress(ChildProcessError):
            while os.waitpid(-1, os.WNOHANG)[0]:
                pass


def venv_of(server: Server, cache: Path) -> Path:
    """Named like the server's distribution, so that two ways to start it share one."""
    return cache / distribution_of(server)


def distribution_of(server: Server) -> str:
    return re.split(r"[\[=<>]", server.requirements[0])[0]


def install(server: Server, cache: Path) -> None:
    """Makes the virtual environment, unless it holds these requirements already."""
    directory = venv_of(server, cache)
    stamp = directory / "requirements"
    wanted = "\n".join(server.requirements)
    if stamp.exists() and stamp.read_text() == wanted:
        return
    print(f"installing {wanted.replace(chr(10), ', ')} in {directory}", file=sys.stderr, flush=True)
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run(["/usr/bin/python3", "-m", "venv", directory], check=True)
    pip: list[str | Path] = [directory / "bin/pip", "install", "--quiet", "--no-input", "--disable-pip-version-check"]
    subprocess.run([*pip, *server.requirements], check=True)
    stamp.write_text(wanted)


def version_of(server: Server, cache: Path) -> str:
    distribution = distribution_of(server).lower().replace("-", "_")
    for metadata in venv_of(server, cache).glob("lib/python3*/site-packages/*.dist-info"):
        name, _, version = metadata.name.removesuffix(".dist-info").partition("-")
        if name.lower().replace("-", "_").replace(".", "_") == distribution:
            return version
    return "?"


class Running:
    def __init__(self, server: Server, cache: Path, directory: Path) -> None:
        self.server = server
        self.directory = directory
        with ExitStack() as stack:
            # Free, and different from each other, because they are chosen together.
            probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3)]
            ports = [str(probe.getsockname()[1]) for probe in probes]
        self.values: Values = dict(zip(("port", "second", "third"), ports, strict=True))
        if server.start_before is not None:
            server.start_before(self.values)
        for name, text in server.files.items():
            for value, chosen in self.values.items():
                text = text.replace(f"<{value}>", chosen)
            (directory / name).parent.mkdir(exist_ok=True)
            (directory / name).write_text(text)
        venv = venv_of(server, cache).resolve()
        environment = {
            name: text for name, text in os.environ.items() if not name.startswith(("PYTHON", "MONITOR_"))
        } | {
            "PATH": f"{venv / 'bin'}:{os.environ['PATH']}",
            "VIRTUAL_ENV": str(venv),
            "HOME": str(directory),
            "XDG_CACHE_HOME": str(directory / ".cache"),
            "PYTHONUNBUFFERED": "1",
            **{name: text.format(**self.values) for name, text in server.environment.items()},
        }
        self.own = directory / (server.log or "tally")
        if server.log is None:
            self.own.touch()
            environment |= {
                "PYTHONPATH": str(WRAPPER),
                "PYTHONDONTWRITEBYTECODE": "1",
                "REAL_SERVERS_TALLY": str(self.own),
            }
        with (directory / "log").open("wb") as log:
            self.process = subprocess.Popen(
                shlex.split(server.command.format(**self.values)),
                cwd=directory,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        try:
            wait_until(self._answers, f"{server.name} answers", PATIENCE)
        except AssertionError as error:
            raise OSError(f"{error}; its output ends with\n{self.output()}") from error
        if server.prepare is not None:
            server.prepare(self.values)

    def output(self) -> str:
        return (self.directory / "log").read_text(errors="replace")[-3000:]

    def _answers(self) -> bool:
        if self.process.poll() is not None:
            raise OSError(f"{self.server.name} ended with {self.process.returncode}:\n{self.output()}")
        time.sleep(0.2)
        with suppress(OSError, EOFError, AssertionError):
            request = Request(self.server.ready).data(self.values, "Connection: close")
            with Client(int(self.values["port"])) as client:
                client.socket.settimeout(20)
                # Before an application is deployed, its proxy answers with 404.
                return client.ask(request).status not in (404, 502, 503)
        return False

    def pids(self) -> list[int]:
        """What has been started, without this process."""
        return tree(os.getpid())[1:]

    def counted(self) -> "Counter[Counted]":
        return read_log(self.own)
