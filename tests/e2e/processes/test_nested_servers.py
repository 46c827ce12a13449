# SPDX-License-Identifier: Apache-2.0
"""A server that another server starts is a server of its own: listed, selectable, followed by --all, and never summed
into the one that started it. A supervisor with its workers stays one server."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.monitor import BINARY, PROFILE, Monitor, Snapshot
from harness.private_proc import OwnProc
from harness.server import kill_tree, tree
from harness.serving import Serving
from harness.waiting import PATIENCE, wait_until

# Serves "/" itself. "/start" starts the engine, and "/ask" sends it one request on a connection that stays open.
APPLICATION = """
import http.client, json, os, subprocess, sys

PORT, COMMAND = int(os.environ["ENGINE_PORT"]), json.loads(os.environ["ENGINE"])
engine, connection = None, None

def start():
    global engine
    engine = subprocess.Popen(COMMAND, cwd=os.path.dirname(__file__))

def ask():
    global connection
    connection = connection or http.client.HTTPConnection("127.0.0.1", PORT)
    connection.request("GET", "/engine")
    connection.getresponse().read()

async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    {"/start": start, "/ask": ask}.get(scope["path"], lambda: None)()
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
    await send({"type": "http.response.body", "body": b"ok"})
"""
ENGINE = """
async def app(scope, receive, send):
    if scope["type"] == "http":
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})
"""
PLAIN = """
import http.server, sys

class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")
    def log_message(self, *_):
        pass

http.server.ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""
ENGINES: dict[str, Callable[[int], list[str]]] = {
    "uvicorn": lambda port: [sys.executable, "-m", "uvicorn", "engine:app", "--port", str(port)],
    "main.py": lambda port: [sys.executable, "main.py", str(port)],
    "http.server": lambda port: [sys.executable, "plain.py", str(port)],
}


class Pair:
    """An application, and the engine that it starts."""

    def __init__(self, pid: int, port: int, engine_port: int, directory: Path) -> None:
        self.pid, self.port, self.engine_port = pid, port, engine_port
        (directory / "proc").mkdir()
        self.proc = OwnProc(directory / "proc")
        self.proc.show(pid)
        self.engine = 0
        self._client = Client(port)

    def ask(self, target: str, count: int = 1) -> None:
        for _ in range(count):
            assert self._client.ask(request(target)).status == 200

    def start_engine(self) -> None:
        self.ask("/start")
        [self.engine] = wait_until(lambda: tree(self.pid)[1:], "the engine is started")
        self.proc.show(self.engine)

        def serves() -> bool:
            try:
                with Client(self.engine_port) as client:
                    return client.ask(request("/")).status == 200
            except OSError:
                return False

        wait_until(serves, "the engine serves")

    def monitor(self, *arguments: str, **environment: str) -> str:
        ended = subprocess.run(
            [*self.proc.command(), BINARY, *arguments],
            env=os.environ | {"LC_ALL": "C.UTF-8"} | environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        assert (ended.returncode, ended.stderr) == (0, ""), ended
        return ended.stdout

    def listed(self) -> list[dict[str, Any]]:
        servers: list[dict[str, Any]] = json.loads(self.monitor("ls", "--json"))["servers"]
        return servers


def two_free_ports() -> list[int]:
    with ExitStack() as stack:
        probes = [stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(2)]
        return [probe.getsockname()[1] for probe in probes]


@contextmanager
def running(directory: Path, engine: str) -> Iterator[Pair]:
    for name, text in {"parent.py": APPLICATION, "engine.py": ENGINE, "plain.py": PLAIN}.items():
        (directory / name).write_text(text)
    (directory / "main.py").write_text(
        "import sys, uvicorn\nfrom engine import app\nuvicorn.run(app, port=int(sys.argv[1]), loop='asyncio', http='h11')\n"
    )
    port, engine_port = two_free_ports()
    environment = os.environ | {"ENGINE_PORT": str(engine_port), "ENGINE": json.dumps(ENGINES[engine](engine_port))}
    command = [sys.executable, "-m", "uvicorn", "parent:app", "--port", str(port), "--timeout-keep-alive", "600"]
    with (directory / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=directory, env=environment, stdout=log, stderr=log)
    try:
        wait_until(lambda: f":{port}" in (directory / "log").read_text(), "it listens")
        yield Pair(process.pid, port, engine_port, directory)
    finally:
        kill_tree(process)


@pytest.fixture(params=list(ENGINES))
def pair(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Pair]:
    with running(tmp_path, request.param) as made:
        yield made


@pytest.fixture
def uvicorns(tmp_path: Path) -> Iterator[Pair]:
    with running(tmp_path, "uvicorn") as made:
        yield made


def is_total(count: int) -> Callable[[Snapshot], bool]:
    return lambda snapshot: (snapshot["total_requests"], snapshot["active_concurrent"]) == (count, 0)


def test_it_is_listed_with_its_own_listener(pair: Pair) -> None:
    pair.start_engine()
    application, engine = pair.listed()
    assert (application["pid"], application["listen"]) == (pair.pid, [f"127.0.0.1:{pair.port}"])
    assert (engine["pid"], engine["listen"]) == (pair.engine, [f"127.0.0.1:{pair.engine_port}"])
    assert application["workers"] == engine["workers"] == 1


def test_alone_the_application_is_shown(pair: Pair) -> None:
    """It was shown before it started an engine, too."""
    pair.start_engine()
    heading, passed_over = pair.monitor("--interval", "0.05", "--profile", PROFILE).splitlines()[:2]
    assert heading.startswith(f"pid {pair.pid} on 127.0.0.1:{pair.port}: uvicorn parent:app")
    assert passed_over.startswith(f"passed over: pid {pair.engine} on 127.0.0.1:{pair.engine_port}: ")


def test_pid_of_the_application_and_of_the_engine(pair: Pair) -> None:
    pair.start_engine()
    pair.ask("/ask")
    with Monitor(pair.pid) as application, Monitor(pair.engine) as engine:
        pair.ask("/", 5)
        pair.ask("/ask", 7)
        snapshot = application.wait_for(is_total(12), "its own requests")
        assert [entry["path"] for entry in snapshot["endpoints"]] == ["/", "/ask"]
        snapshot = engine.wait_for(is_total(7), "its own requests")
        assert [entry["path"] for entry in snapshot["endpoints"]] == ["/engine"]
        assert snapshot["target"]["address"] == f"127.0.0.1:{pair.engine_port}"


@pytest.mark.parametrize("first", ["application", "engine"])
def test_both_by_pid(uvicorns: Pair, first: str) -> None:
    pair = uvicorns
    pair.start_engine()
    pids = [pair.pid, pair.engine] if first == "application" else [pair.engine, pair.pid]
    with Monitor(pids[0], "--pid", str(pids[1])) as monitor:
        pair.ask("/ask", 3)
        application = monitor.wait_for(is_total(3), "its requests", pid=pair.pid)
        engine = monitor.wait_for(is_total(3), "its requests", pid=pair.engine)
    assert [entry["address"] for entry in application["listeners"]] == [f"127.0.0.1:{pair.port}"]
    assert [entry["address"] for entry in engine["listeners"]] == [f"127.0.0.1:{pair.engine_port}"]
    assert [worker["pid"] for worker in application["workers"]] == [pair.pid]
    assert [worker["pid"] for worker in engine["workers"]] == [pair.engine]


def test_all_with_both_running(uvicorns: Pair) -> None:
    pair = uvicorns
    pair.start_engine()
    pair.ask("/ask")
    with Monitor(pair.pid, selection=("--all",), command=pair.proc.command()) as monitor:
        pair.ask("/", 5)
        pair.ask("/ask", 7)
        application = monitor.wait_for(is_total(12), "its requests", pid=pair.pid)
        engine = monitor.wait_for(is_total(7), "its requests", pid=pair.engine)
        monitor.stop()
        assert monitor.errors() == ""
    assert [entry["address"] for entry in application["listeners"]] == [f"127.0.0.1:{pair.port}"]
    assert [entry["address"] for entry in engine["listeners"]] == [f"127.0.0.1:{pair.engine_port}"]
    assert application["undercount_by_cause"] == engine["undercount_by_cause"] == {}


def test_all_while_the_engine_starts(uvicorns: Pair) -> None:
    """The application forks it, and for a moment it is one of the application's processes."""
    pair = uvicorns
    with Monitor(pair.pid, selection=("--all",), command=pair.proc.command()) as monitor:
        pair.start_engine()
        monitor.wait_for(lambda _: True, "it is found", pid=pair.engine)
        before = monitor.shown(pair.engine)["total_requests"]
        pair.ask("/ask", 7)
        engine = monitor.wait_for(is_total(before + 7), "its requests", pid=pair.engine)
        application = monitor.wait_for(is_total(8), "its requests", pid=pair.pid)
        assert [worker["pid"] for worker in application["workers"]] == [pair.pid]
        assert [worker["pid"] for worker in engine["workers"]] == [pair.engine]
        monitor.stop()
        assert monitor.errors() == ""


def test_attach_all(uvicorns: Pair, engine: Engine) -> None:
    pair = uvicorns
    pair.start_engine()
    pair.monitor("attach", "--all", "--profile", PROFILE, MONITOR_PINS=str(engine.pins))
    assert engine.targets() == sorted([pair.pid, pair.engine])
    pair.ask("/", 5)
    pair.ask("/ask", 7)
    engine.wait_for(pair.pid, is_total(12), "its requests")
    engine.wait_for(pair.engine, is_total(7), "its requests")
    both = {server["pid"]: server for server in json.loads(engine.done("ls", "--json"))["servers"]}
    for pid, port in ((pair.pid, pair.port), (pair.engine, pair.engine_port)):
        assert both[pid]["listeners"] == [{"address": f"127.0.0.1:{port}", "http": True, "protocol": "http"}]
    for pid in (pair.engine, pair.pid):
        engine.detach(pid)
    assert not engine.is_there()


@pytest.mark.parametrize("kind", ["attach the engine", "attach all"])
def test_attach_an_engine_that_the_application_started_later(uvicorns: Pair, engine: Engine, kind: str) -> None:
    """Until then its requests count on a listener that is apart. A request of the connection between the two that was
    open before counts as the engine's."""
    pair = uvicorns
    engine.attach(pair.pid)
    pair.start_engine()
    pair.ask("/ask", 3)
    snapshot = engine.wait_for(pair.pid, is_total(4), "its requests")
    assert not next(e for e in snapshot["listeners"] if e["address"].endswith(f":{pair.engine_port}"))["own"]
    words = ["--all"] if kind == "attach all" else ["--pid", str(pair.engine)]
    pair.monitor("attach", *words, "--profile", PROFILE, MONITOR_PINS=str(engine.pins))
    assert engine.targets() == sorted([pair.pid, pair.engine])
    pair.ask("/ask", 7)
    engine.wait_for(pair.engine, is_total(7), "its requests")
    snapshot = engine.wait_for(pair.pid, is_total(11), "its requests")
    assert [worker["pid"] for worker in snapshot["workers"]] == [pair.pid]
    engine.detach(pair.pid)
    pair.ask("/ask", 2)
    engine.wait_for(pair.engine, is_total(9), "its requests")


def test_serve_all(uvicorns: Pair, tmp_path: Path) -> None:
    pair = uvicorns
    serving = Serving(tmp_path, "--all", under=pair.proc.command())
    try:
        pair.start_engine()
        name = 'uvicorn_requests_total{{target="127.0.0.1:{}"}}'
        own, other = name.format(pair.port), name.format(pair.engine_port)
        wait_until(lambda: other in serving.metrics(), "the engine is found")
        before = serving.metrics()[other]
        pair.ask("/ask", 7)
        wait_until(lambda: serving.metrics()[other] == before + 7, "its requests")
        wait_until(lambda: serving.metrics()[own] == 8, "the application's requests")
    finally:
        serving.stop()
