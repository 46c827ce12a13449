# SPDX-License-Identifier: Apache-2.0
"""Servers are found however they were started, each with the evidence; what is only a guess is shown as one."""

import json
import os
import shutil
import socket
import subprocess
import sys
import sysconfig
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.monitor import BINARY, PROFILE, ROOT
from harness.private_proc import OwnProc
from harness.server import kill_tree, sockets_of, tree
from harness.waiting import PATIENCE, wait_until

PYTHON = sys.executable
BIN = Path(PYTHON).parent

ASGI = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""
MAIN = (
    ASGI
    + """
import sys
import uvicorn
if __name__ == "__main__":
    uvicorn.run("main:app", port=0, **eval(sys.argv[1]))
"""
)
WSGI = """
def app(environ, start_response):
    start_response("200 OK", [("content-length", "2")])
    return [b"ok"]
"""
# The server runs in a thread, and no import statement leads to it.
THREAD = """
import threading
run = __import__("served").run
thread = threading.Thread(target=run)
thread.start()
thread.join()
"""
# A module of the program's own has the server.
OTHER = """
import os
from package import start
if os.getpid():
    start()
"""
PACKAGE = """
def start():
    from .server import app
    import importlib
    importlib.import_module("uvi" + "corn").run(app, port=0, loop="asyncio", http="h11")
"""
SERVED = (
    ASGI
    + """
import uvicorn
def run(sockets=None):
    uvicorn.Server(uvicorn.Config(app, port=0, http="httptools")).run(sockets)
"""
)
WORKERS = """
import multiprocessing, socket, uvicorn
from served import run
if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    listener.set_inheritable(True)
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=run, args=([listener],)) for _ in range(2)]
    [worker.start() for worker in workers]
    listener.close()
    [worker.join() for worker in workers]
"""
LISTENER = """
import socket, time
listener = socket.create_server(("127.0.0.1", 0))
time.sleep(1000)
"""
CLIENT = """
import socket, sys, time
peer = socket.create_connection(("127.0.0.1", int(sys.argv[1])))
time.sleep(1000)
"""
RELOADER = """
import time, uvicorn
time.sleep(1000)
"""
# It listens for its own commands, and starts the program that its arguments name.
SUPERVISOR = """
import socket, subprocess, sys
listener = socket.create_server(("127.0.0.1", 0))
subprocess.run([sys.executable, *sys.argv[1:]])
"""
CONSOLE_SCRIPT = """#!{python}
import sys
from hidden.cli import main
sys.exit(main())
"""
PROGRAMS = {
    "main.py": MAIN,
    "wsgi.py": WSGI,
    "thread.py": THREAD,
    "served.py": SERVED,
    "other.py": OTHER,
    "workers.py": WORKERS,
    "listener.py": LISTENER,
    "client.py": CLIENT,
    "reloader.py": RELOADER,
    "supervisor.py": SUPERVISOR,
}


def free_port() -> str:
    """For a server that cannot choose one itself."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def lay_out(directory: Path) -> None:
    (directory / "package").mkdir()
    (directory / "package/__init__.py").write_text(PACKAGE)
    (directory / "package/server.py").write_text("import uvicorn\n" + ASGI)
    for name, text in PROGRAMS.items():
        (directory / name).write_text(text)
    # An application installed with a command of its own; its server is nowhere in the command's text.
    package = directory / "env/lib/python3/site-packages"
    (package / "hidden_app-1.0.dist-info").mkdir(parents=True)
    (package / "hidden_app-1.0.dist-info/METADATA").write_text("Name: hidden-app\nRequires-Dist: uvicorn>=0.1\n\n")
    (package / "hidden_app-1.0.dist-info/entry_points.txt").write_text("[console_scripts]\nhidden = hidden.cli:main\n")
    (package / "hidden").mkdir()
    (package / "hidden/cli.py").write_text(
        "import ctypes, pathlib\nctypes.CDLL(str(pathlib.Path(__file__).with_name('compiled.so')))\n"
        + ASGI
        + "def main():\n    import uvicorn\n    uvicorn.run(app, port=0, loop='asyncio', http='h11')\n"
    )
    (package / "hidden/__main__.py").write_text("from hidden.cli import main\nmain()\n")
    shutil.copy(next(Path(sysconfig.get_config_var("DESTSHARED")).glob("*.so")), package / "hidden/compiled.so")
    (directory / "env/bin").mkdir()
    (directory / "env/bin/python").symlink_to(PYTHON)
    (directory / "env/bin/hidden").write_text(CONSOLE_SCRIPT.format(python=PYTHON))
    (directory / "env/bin/hidden").chmod(0o755)
    (directory / "bin").mkdir()
    (directory / "bin/hidden").symlink_to(directory / "env/bin/hidden")


@dataclass
class Started:
    process: subprocess.Popen[bytes]
    proc: OwnProc

    @property
    def pid(self) -> int:
        return self.process.pid

    def monitor(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """`monitor`, which sees only what was started."""
        for pid in tree(self.pid):
            if pid not in self.shown:
                self.proc.show(pid)
                self.shown.add(pid)
        return subprocess.run(
            [*self.proc.command(), BINARY, *arguments],
            cwd="/",
            env=os.environ | {"LC_ALL": "C.UTF-8"},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def __post_init__(self) -> None:
        self.shown: set[int] = set()

    def listed(self) -> list[dict[str, Any]]:
        ended = self.monitor("ls", "--json")
        assert (ended.returncode, ended.stderr) == (0, "")
        listed = json.loads(ended.stdout)
        jsonschema.validate(listed, json.loads((ROOT / "docs/schema/ls.schema.json").read_text()))
        servers: list[dict[str, Any]] = listed["servers"]
        return servers


Begin = Callable[..., Started]


@pytest.fixture
def begin(tmp_path: Path) -> Iterator[Begin]:
    """Starts programs in a directory that has those above; the later ones are seen together with the first."""
    lay_out(tmp_path)
    (tmp_path / "proc").mkdir()
    proc = OwnProc(tmp_path / "proc")

    @contextmanager
    def run(*command: str | Path) -> Iterator[Started]:
        paths = [str(tmp_path / "env/lib/python3/site-packages"), sysconfig.get_path("purelib")]
        environment = os.environ | {"PYTHONPATH": ":".join(paths)}
        with (tmp_path / "log").open("wb") as log:
            process = subprocess.Popen(command, cwd=tmp_path, env=environment, stdout=log, stderr=log)
        try:
            yield Started(process, proc)
        finally:
            kill_tree(process)

    with ExitStack() as stack:
        yield lambda *command: stack.enter_context(run(*command))


def served(started: Started) -> dict[str, Any]:
    """The only server that is listed, once it listens."""

    def ready() -> list[dict[str, Any]]:
        assert started.process.poll() is None, "it has ended"
        return [server for server in started.listed() if server["evidence"] != "listens"]

    [server] = wait_until(ready, "it is listed")
    return server


PLAIN = "{'loop': 'asyncio', 'http': 'h11'}"

WAYS: dict[str, tuple[list[str | Path], str, str, str | None]] = {
    # name: command, kind, evidence, application
    "uvicorn": ([BIN / "uvicorn", "--port", "0", "main:app"], "uvicorn", "command", "main:app"),
    "python -m uvicorn": ([PYTHON, "-m", "uvicorn", "main:app", "--port", "0"], "uvicorn", "command", "main:app"),
    "debugpy": (
        [PYTHON, "-m", "debugpy", "--listen", "127.0.0.1:0", "-m", "uvicorn", "main:app", "--port", "0"],
        "uvicorn",
        "command",
        "main:app",
    ),
    "cProfile": ([PYTHON, "-m", "cProfile", "-m", "uvicorn", "main:app", "--port=0"], "uvicorn", "command", "main:app"),
    "hypercorn": ([BIN / "hypercorn", "-b", "127.0.0.1:0", "main:app"], "hypercorn", "command", "main:app"),
    "granian": (
        [BIN / "granian", "--interface", "asgi", "--port", "PORT", "main:app"],
        "granian",
        "command",
        "main:app",
    ),
    "gunicorn": ([BIN / "gunicorn", "-b", "127.0.0.1:0", "wsgi:app"], "gunicorn", "command", "wsgi:app"),
    "gunicorn gthread": (
        [BIN / "gunicorn", "-k", "gthread", "--threads", "2", "-b", "127.0.0.1:0", "wsgi:app"],
        "gunicorn",
        "command",
        "wsgi:app",
    ),
    "python main.py": ([PYTHON, "main.py", PLAIN], "uvicorn", "script", None),
    "main.py with workers": ([PYTHON, "main.py", PLAIN[:-1] + ", 'workers': 2}"], "uvicorn", "script", None),
    "main.py that reloads": ([PYTHON, "main.py", PLAIN[:-1] + ", 'reload': True}"], "uvicorn", "script", None),
    "python -m main": ([PYTHON, "-m", "main", PLAIN], "uvicorn", "script", None),
    "python -c": (
        [PYTHON, "-c", f"import uvicorn; uvicorn.run('main:app', port=0, **{PLAIN})"],
        "uvicorn",
        "script",
        None,
    ),
    "workers of multiprocessing": ([PYTHON, "workers.py"], "uvicorn", "script", None),
    "in a thread": ([PYTHON, "thread.py"], "httptools", "modules", None),
    "by a module of its own": ([PYTHON, "other.py"], "uvicorn", "script", None),
    "console script": (["env/bin/hidden"], "uvicorn", "script", None),
    "console script by a link": (["bin/hidden"], "uvicorn", "script", None),
    "python -m of a package": (["env/bin/python", "-m", "hidden"], "uvicorn", "script", None),
    "python -m of a package in the PATH": ([PYTHON, "-m", "hidden"], "uvicorn", "script", None),
}


@pytest.mark.parametrize("way", WAYS)
def test_found_however_it_was_started(begin: Begin, way: str) -> None:
    command, kind, evidence, application = WAYS[way]
    started = begin(*(free_port() if word == "PORT" else word for word in command))
    server = served(started)
    assert (server["pid"], server["kind"], server["evidence"]) == (started.pid, kind, evidence)
    assert server["application"] == application
    assert not server["program"].startswith("/")
    assert not server["guess"]
    assert server["attached"] is False
    ended = started.monitor("--all", "--json", "--interval", "0.05", "--profile", PROFILE)
    assert (ended.returncode, ended.stderr) == (0, "")
    [snapshot] = [json.loads(line) for line in ended.stdout.splitlines()]
    assert snapshot["target"]["pid"] == started.pid
    assert snapshot["target"]["evidence"] == evidence


def test_a_child_of_a_shell_is_found(begin: Begin) -> None:
    started = begin("sh", "-c", f"{BIN}/uvicorn main:app --port 0; true")
    server = served(started)
    assert server["pid"] in tree(started.pid)[1:]
    assert server["evidence"] == "command"


def test_a_supervisor_that_listens_hides_nothing(begin: Begin) -> None:
    started = begin(PYTHON, "supervisor.py", "main.py", PLAIN)
    server = served(started)
    assert server["pid"] in tree(started.pid)[1:]
    assert (server["kind"], server["evidence"]) == ("uvicorn", "script")
    assert [(guess["pid"], guess["guess"]) for guess in started.listed()[1:]] == [(started.pid, True)]


@pytest.mark.parametrize("program", [["listener.py"], ["-m", "http.server", "--bind", "127.0.0.1", "0"]])
def test_a_python_that_listens_is_a_guess(begin: Begin, program: list[str]) -> None:
    started = begin(PYTHON, *program)
    [server] = wait_until(started.listed, "it listens")
    assert (server["pid"], server["kind"], server["evidence"], server["guess"]) == (
        started.pid,
        "python",
        "listens",
        True,
    )
    usual = ("--interval", "0.05", "--profile", PROFILE)
    left_out = started.monitor("--all", *usual)
    assert (left_out.returncode, left_out.stdout) == (3, "")
    assert "monitor ls also lists guesses" in left_out.stderr
    taken_in = started.monitor("--all", "--guess", "--json", *usual)
    assert (taken_in.returncode, taken_in.stderr) == (0, "")
    assert json.loads(taken_in.stdout)["target"]["evidence"] == "listens"
    alone = started.monitor(*usual)
    assert (alone.returncode, alone.stderr) == (0, "")
    heading, guess, box = alone.stdout.splitlines()[:3]
    assert heading.startswith(f"pid {started.pid} on 127.0.0.1:")
    assert guess == "a guess: a Python that listens"
    assert box.startswith("╔")
    for_a_program = started.monitor("--json", *usual)
    assert "a guess: a Python that listens" in for_a_program.stderr


def test_what_does_not_listen_is_no_server(begin: Begin) -> None:
    listener = begin(PYTHON, "listener.py")
    [guess] = wait_until(listener.listed, "it listens")
    client = begin(PYTHON, "client.py", guess["listen"][0].rpartition(":")[2])
    reloader = begin(PYTHON, "reloader.py")
    wait_until(lambda: sockets_of(client.pid), "it is connected")
    for other in (client, reloader):
        assert [server["pid"] for server in other.listed()] == [listener.pid]
        listener.shown |= other.shown


def both(begin: Begin) -> tuple[Started, Started]:
    """A uvicorn, and a program that serves as well."""
    uvicorn = begin(BIN / "uvicorn", "main:app", "--port", "0")
    served(uvicorn)
    program = begin(PYTHON, "main.py", PLAIN)
    wait_until(lambda: len(program.listed()) == 2, "both listen")
    return uvicorn, program


def test_it_says_which_server_it_shows_and_what_it_passed_over(begin: Begin) -> None:
    uvicorn, program = both(begin)
    addresses = {server["pid"]: server["listen"][0] for server in program.listed()}
    with Client(int(addresses[program.pid].rpartition(":")[2])) as client:
        client.ask(request("/"))
    shown = program.monitor("--interval", "0.05", "--profile", PROFILE)
    assert (shown.returncode, shown.stderr) == (0, "")
    heading, passed_over, box = shown.stdout.splitlines()[:3]
    assert heading == f"pid {uvicorn.pid} on {addresses[uvicorn.pid]}: uvicorn main:app"
    assert passed_over.startswith(f"passed over: pid {program.pid} on {addresses[program.pid]}: main.py ")
    assert box.startswith("╔")
    # Where no line stands above, standard error says so.
    printed = program.monitor("--interval", "0.05", "--profile", PROFILE, "--json")
    assert json.loads(printed.stdout)["target"]["pid"] == uvicorn.pid
    assert f"passed over: pid {program.pid} on " in printed.stderr
    # Who names the server leaves nothing in doubt.
    named = program.monitor("--pid", str(program.pid), "--interval", "0.05", "--profile", PROFILE)
    assert named.stderr == ""
    assert named.stdout.splitlines()[0].startswith(f"pid {program.pid} on {addresses[program.pid]}: main.py ")
    assert named.stdout.splitlines()[1].startswith("╔")


def test_a_listener_chooses_the_server(begin: Begin) -> None:
    _, program = both(begin)
    [address] = [server["listen"][0] for server in program.listed() if server["pid"] == program.pid]
    once = ("--interval", "0.05", "--profile", PROFILE)
    for choice in (("--port", address.rpartition(":")[2]), ("--listener", address)):
        printed = program.monitor(*choice, "--json", *once)
        assert (printed.returncode, printed.stderr) == (0, "")
        assert json.loads(printed.stdout)["target"]["pid"] == program.pid
    missing = program.monitor("--port", "1", *once)
    assert (missing.returncode, missing.stdout) == (3, "")
    assert "no server on this machine has such a listener" in missing.stderr
    assert f"sudo monitor --pid {program.pid} " in missing.stderr


def test_an_attached_server_does_not_hide_the_others(begin: Begin, engine: Engine) -> None:
    uvicorn, program = both(begin)
    engine.attach(program.pid)
    shown = program.monitor("--pins", str(engine.pins))
    assert (shown.returncode, shown.stderr) == (0, "")
    heading, passed_over = shown.stdout.splitlines()[:2]
    assert heading.startswith(f"pid {program.pid} on ")
    assert passed_over.startswith(f"passed over: pid {uvicorn.pid} on ")


def test_the_message_that_asks_to_choose(begin: Begin, engine: Engine) -> None:
    one = begin(PYTHON, "main.py", PLAIN)
    served(one)
    two = begin(PYTHON, "thread.py")
    wait_until(lambda: len(two.listed()) == 2, "both listen")
    addresses = {server["pid"]: server["listen"][0] for server in two.listed()}
    for command in (("attach",), ("serve", "--listen", "127.0.0.1:0")):
        refused = two.monitor(*command, "--pins", str(engine.pins))
        assert (refused.returncode, refused.stdout) == (3, "")
        assert f"sudo monitor {command[0]} --pid {one.pid} " in refused.stderr
    ended = two.monitor("--profile", PROFILE)
    assert (ended.returncode, ended.stdout) == (3, "")
    assert "2 servers run on this machine" in ended.stderr
    assert f"sudo monitor --pid {one.pid}    # {addresses[one.pid]}  main.py " in ended.stderr
    assert f"sudo monitor --pid {two.pid}    # {addresses[two.pid]}  thread.py\n" in ended.stderr


def test_the_list_for_people(begin: Begin) -> None:
    uvicorn, program = both(begin)
    text = program.monitor("ls")
    assert (text.returncode, text.stderr) == (0, "")
    lines = text.stdout.splitlines()
    assert lines[0].startswith(f"pid {uvicorn.pid} on 127.0.0.1:")
    assert lines[0].endswith(": uvicorn main:app")
    assert lines[1].startswith("    uvicorn, by its command line; 1 worker; up ")
    assert lines[2] == "    protocols unknown: not attached"
    assert lines[3].startswith(f"pid {program.pid} on 127.0.0.1:")
    assert lines[4].startswith("    uvicorn, by its script; 1 worker; up ")
