# SPDX-License-Identifier: Apache-2.0
"""Servers other than uvicorn that run app.py: hypercorn, granian, and gunicorn with uvicorn's worker class (both
releases) or with workers of its own, which can run another application. Daphne runs plain_asgi.py."""

import socket
from pathlib import Path

from harness.client import Address
from harness.server import ROOT, AppServer

DEBIAN, CURRENT = "/usr/bin/python3", str(ROOT / "build/venv/bin/python")
# The current uvicorn's worker class is in a separate package.
WORKER_CLASS = {DEBIAN: "uvicorn.workers.UvicornWorker", CURRENT: "uvicorn_worker.UvicornWorker"}
# The current gunicorn also opens a control socket, by default below the home directory.
CONTROL = {DEBIAN: [], CURRENT: ["--no-control-socket"]}
SOMEWHERE = "127.0.0.1:0"


def bind_option(address: Address | str) -> list[str]:
    return ["--bind", f"unix:{address}" if isinstance(address, Path) else str(address)]


class Gunicorn(AppServer):
    def __init__(
        self,
        directory: Path,
        python: str,
        *options: str,
        workers: int = 2,
        binds: tuple[Path | str, ...] = (SOMEWHERE,),
        worker_class: str = "",
        application: str = "app:app",
    ) -> None:
        command = [python, "-m", "gunicorn", "--worker-class", worker_class or WORKER_CLASS[python]]
        command += ["--workers", str(workers)]
        command += ["--keep-alive", "60", "--log-level", "warning", *CONTROL[python]]
        for bind in binds:
            command += bind_option(bind)
        super().__init__(directory, "gunicorn", [*command, *options, application], workers)


class Hypercorn(AppServer):
    """Has a supervisor and a child even with one worker."""

    def __init__(
        self, directory: Path, *options: str, workers: int = 1, binds: tuple[Path | str, ...] = (SOMEWHERE,)
    ) -> None:
        command = [CURRENT, "-m", "hypercorn", "--workers", str(workers)]
        command += ["--keep-alive", "60", "--log-level", "warning"]
        for bind in binds:
            command += bind_option(bind)
        super().__init__(directory, "hypercorn", [*command, *options, "app:app"], workers)


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


class Granian(AppServer):
    """Has a supervisor and a child even with one worker."""

    def __init__(self, directory: Path, *options: str) -> None:
        command = [
            CURRENT,
            "-m",
            "granian",
            "--interface",
            "asgi",
            "--port",
            str(free_port()),
            "--log-level",
            "warning",
        ]
        super().__init__(directory, "granian", [*command, *options, "app:app"])


class Daphne(AppServer):
    def __init__(self, directory: Path, *options: str) -> None:
        command = [CURRENT, "-m", "daphne", "-p", str(free_port()), "-v", "0"]
        super().__init__(directory, "daphne", [*command, *options, "plain_asgi:app"])
