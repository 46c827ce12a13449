# SPDX-License-Identifier: Apache-2.0
"""Ways to start a server, each with the real program: plain `monitor`, `--all` and `ls` find it, as one server."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import zipapp
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from harness.monitor import BINARY, PROFILE
from harness.private_proc import OwnProc
from harness.server import kill_tree, tree
from harness.waiting import PATIENCE, wait_until

PYTHON = sys.executable
BIN = Path(PYTHON).parent

# Without a compiled module that would give it away. FastAPI's command wants an object of its own class.
MAIN = """
import os, sys
from fastapi import FastAPI
app = FastAPI()
def run():
    import uvicorn
    uvicorn.run(app, port=int(os.environ["PORT"]), loop="asyncio", http="h11")
if __name__ == "__main__":
    run()
"""
# The server is five files away.
PACKAGE = {
    "shop/__init__.py": "",
    "shop/__main__.py": "from shop.cli import main\nmain()\n",
    "shop/cli.py": "def main():\n    from .commands import serve\n    serve()\n",
    "shop/commands.py": "from . import (\n    core,\n)\nserve = core.serve\n",
    "shop/core.py": "def serve():\n    import main\n    main.run()\n",
}
FILES = PACKAGE | {
    "main.py": MAIN,
    "elsewhere.py": "import os, main\nos.chdir('/')\nmain.run()\n",
    "pool.py": (
        "import multiprocessing, sys\n"
        "def work():\n    import main\n    main.run()\n"
        "if __name__ == '__main__':\n"
        "    worker = multiprocessing.get_context(sys.argv[1]).Process(target=work)\n"
        "    worker.start()\n    worker.join()\n"
    ),
    "app/__main__.py": "import os, sys\nsys.path.insert(0, os.environ['HERE'])\nimport serving\n",
    "app/serving.py": "import uvicorn\nimport main\nmain.run()\n",
    "plain": f"#!{PYTHON}\nimport os, sys\nsys.path.insert(0, os.environ['HERE'])\nfrom main import run\nrun()\n",
}
# pip writes this where a path is too long for the first line or has a space in it.
POLYGLOT = """#!/bin/sh
'''exec' "{python}" "$0" "$@"
' '''
import os, sys
sys.path.insert(0, os.environ["HERE"])
from main import run
if __name__ == "__main__":
    sys.exit(run())
"""


@dataclass
class Way:
    command: list[str | Path]
    kind: str
    evidence: str
    application: str | None = None
    workers: int = 1
    program: str | None = None


ASGI = "main:app"
WAYS = {
    "fastapi run": Way([BIN / "fastapi", "run", "main.py", "--port", "PORT"], "uvicorn", "command", "main.py"),
    "fastapi run with workers": Way(
        [BIN / "fastapi", "run", "main.py", "--port", "PORT", "--workers", "2"], "uvicorn", "command", "main.py", 2
    ),
    "fastapi dev": Way([BIN / "fastapi", "dev", "main.py", "--port", "PORT"], "uvicorn", "command", "main.py"),
    "python -m fastapi": Way(
        [PYTHON, "-m", "fastapi", "run", "main.py", "--port", "PORT"], "uvicorn", "command", "main.py"
    ),
    "daphne": Way([BIN / "daphne", "-p", "PORT", ASGI], "daphne", "command", ASGI),
    "granian with workers": Way(
        [BIN / "granian", "--interface", "asgi", "--workers", "2", "--port", "PORT", ASGI],
        "granian",
        "command",
        ASGI,
        2,
    ),
    "hypercorn with workers": Way(
        [BIN / "hypercorn", "-w", "2", "-b", "127.0.0.1:PORT", ASGI], "hypercorn", "command", ASGI, 2
    ),
    "python -m gunicorn": Way(
        [PYTHON, "-m", "gunicorn", "-k", "uvicorn_worker.UvicornWorker", "-b", "127.0.0.1:PORT", ASGI],
        "gunicorn",
        "command",
        ASGI,
    ),
    "python -X dev -m uvicorn": Way(
        [PYTHON, "-X", "dev", "-m", "uvicorn", ASGI, "--port", "PORT"], "uvicorn", "command", ASGI
    ),
    "debugpy with a script": Way([PYTHON, "-m", "debugpy", "--listen", "127.0.0.1:0", "main.py"], "uvicorn", "script"),
    "coverage -m": Way([BIN / "coverage", "run", "-m", "uvicorn", ASGI, "--port", "PORT"], "uvicorn", "command", ASGI),
    "coverage with a script": Way([BIN / "coverage", "run", "main.py"], "uvicorn", "script"),
    "watchfiles with a command": Way(
        [BIN / "watchfiles", f"{BIN}/uvicorn {ASGI} --port PORT", "shop"], "uvicorn", "command", ASGI
    ),
    "watchfiles with a function": Way([BIN / "watchfiles", "main.run", "shop"], "uvicorn", "script"),
    "sh -c": Way(["sh", "-c", f"{BIN}/uvicorn {ASGI} --port PORT; true"], "uvicorn", "command", ASGI),
    "sh -c exec": Way(["sh", "-c", f"exec {BIN}/uvicorn {ASGI} --port PORT"], "uvicorn", "command", ASGI),
    "python <main.py": Way(["sh", "-c", f"exec {PYTHON} <main.py"], "uvicorn", "script"),
    "python - <main.py": Way(["sh", "-c", f"exec {PYTHON} - <main.py"], "uvicorn", "script"),
    "a link to the interpreter": Way(["env/bin/shopd", "main.py"], "uvicorn", "script", program="main.py"),
    "exec -a": Way(["bash", "-c", f"exec -a shopd {PYTHON} main.py"], "uvicorn", "script", program="main.py"),
    "exec -a with -m": Way(
        ["bash", "-c", f"exec -a shopd {PYTHON} -m uvicorn {ASGI} --port PORT"], "uvicorn", "command", ASGI
    ),
    "a program in another directory": Way([PYTHON, "elsewhere.py"], "uvicorn", "script"),
    "a package": Way([PYTHON, "-m", "shop"], "uvicorn", "script"),
    "a package in PYTHONPATH": Way(["env", "--chdir=/", "PYTHONPATH=HERE", PYTHON, "-m", "shop"], "uvicorn", "script"),
    "a zipapp": Way([PYTHON, "app.pyz"], "uvicorn", "script"),
    "a directory": Way([PYTHON, "app"], "uvicorn", "script"),
    "a script with spaces in its path": Way(["./a b/serve it"], "uvicorn", "script"),
    "a script without an ending": Way(["./plain"], "uvicorn", "script"),
    "multiprocessing, spawn": Way([PYTHON, "pool.py", "spawn"], "uvicorn", "script"),
    "multiprocessing, fork": Way([PYTHON, "pool.py", "fork"], "uvicorn", "script"),
    "multiprocessing, forkserver": Way([PYTHON, "pool.py", "forkserver"], "uvicorn", "script"),
}


def lay_out(directory: Path) -> None:
    for name, text in FILES.items():
        path = directory / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    (directory / "plain").chmod(0o755)
    zipapp.create_archive(directory / "app", directory / "app.pyz", "/usr/bin/env python3")
    (directory / "a b").mkdir()
    (directory / "a b/serve it").write_text(POLYGLOT.format(python=PYTHON))
    (directory / "a b/serve it").chmod(0o755)
    # An environment like the one that runs the test, whose interpreter has another name.
    (directory / "env/bin").mkdir(parents=True)
    shutil.copy(BIN.parent / "pyvenv.cfg", directory / "env")
    (directory / "env/lib").symlink_to(BIN.parent / "lib")
    (directory / "env/bin/shopd").symlink_to(PYTHON)


class Started:
    def __init__(self, process: "subprocess.Popen[bytes]", port: int, proc: OwnProc) -> None:
        self.process, self.port, self.proc = process, port, proc
        self._shown: set[int] = set()

    def serves(self) -> bool:
        assert self.process.poll() is None, "it has ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), PATIENCE).close()
        except OSError:
            return False
        return True

    def monitor(self, *arguments: str) -> str:
        for pid in set(tree(self.process.pid)) - self._shown:
            self.proc.show(pid)
            self._shown.add(pid)
        ended = subprocess.run(
            [*self.proc.command(), BINARY, *arguments],
            cwd="/",
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def certain(self) -> list[dict[str, Any]]:
        servers: list[dict[str, Any]] = json.loads(self.monitor("ls", "--json"))["servers"]
        return [server for server in servers if not server["guess"]]


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


@contextmanager
def started(command: list[str | Path], directory: Path) -> Iterator[Started]:
    lay_out(directory)
    (directory / "proc").mkdir()
    port = free_port()
    words = [str(word).replace("PORT", str(port)).replace("HERE", str(directory)) for word in command]
    environment = os.environ | {"PORT": str(port), "HERE": str(directory), "PWD": str(directory)}
    environment["PATH"] = f"{BIN}:{environment['PATH']}"
    with (directory.parent / "way.log").open("wb") as log:  # not where watchfiles would see it
        process = subprocess.Popen(
            words,
            cwd=directory,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        yield Started(process, port, OwnProc(directory / "proc"))
    finally:
        kill_tree(process)
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)  # orphans


@pytest.mark.parametrize("way", WAYS)
def test_it_is_found_as_one_server(way: str, tmp_path: Path) -> None:
    expected = WAYS[way]
    directory = tmp_path / "work"
    directory.mkdir()
    with started(expected.command, directory) as server:
        wait_until(server.serves, "it serves")
        wait_until(lambda: [found["workers"] for found in server.certain()] == [expected.workers], "its workers serve")
        [found] = server.certain()
        assert (found["kind"], found["evidence"]) == (expected.kind, expected.evidence)
        assert found["application"] == expected.application
        assert expected.program in (None, found["program"])
        assert any(address.endswith(f":{server.port}") for address in found["listen"])
        usual = ("--interval", "0.05", "--profile", PROFILE)
        [snapshot] = [json.loads(line) for line in server.monitor("--all", "--json", *usual).splitlines()]
        assert (snapshot["target"]["pid"], snapshot["target"]["evidence"]) == (found["pid"], expected.evidence)
        assert snapshot["target"]["address"].endswith(f":{server.port}")
        shown = server.monitor(*usual)
        assert shown.startswith(f"pid {found['pid']} on ")
        assert f":{server.port}" in shown.splitlines()[0]


NO_SERVERS = {
    "schemas": "from fastapi import HTTPException\n",
    "the encoder": "import fastapi.encoders\n",
    "an application for its schema": "from fastapi import FastAPI\nFastAPI().openapi()\n",
    "a module that would serve by itself": "import serves\n",
    "the formatter of a log": "from uvicorn.logging import DefaultFormatter\n",
}
LISTENS = """
import os, socket
listener = socket.create_server(("127.0.0.1", int(os.environ["PORT"])))
while True:
    listener.accept()[0].close()
"""
SERVES = """
from fastapi import FastAPI
app = FastAPI()
if __name__ == "__main__":
    import uvicorn
    uvicorn.run(app)
"""


@pytest.mark.parametrize("program", NO_SERVERS)
def test_a_program_that_only_imports_parts_is_a_guess(program: str, tmp_path: Path) -> None:
    directory = tmp_path / "work"
    directory.mkdir()
    (directory / "other.py").write_text(NO_SERVERS[program] + LISTENS)
    (directory / "serves.py").write_text(SERVES)
    with started([PYTHON, "other.py"], directory) as server:
        wait_until(server.serves, "it listens")
        [found] = json.loads(server.monitor("ls", "--json"))["servers"]
        assert (found["kind"], found["evidence"], found["guess"]) == ("python", "listens", True)
