# SPDX-License-Identifier: Apache-2.0
"""A server that listens at more than one address: each listener has its own figures, and what is not HTTP on one of
them is never in flight."""

import json
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.attached_engine import Engine
from harness.beside_http import ask, by_port, running
from harness.client import Client, request
from harness.load import keep_alive
from harness.monitor import BINARY, PROFILE, Monitor, run_monitor
from harness.private_proc import OwnProc
from harness.server import USUAL, Server, kill_tree
from harness.waiting import PATIENCE, wait_until
from harness.websocket import TEXT, WebSocket


def test_two_http_listeners() -> None:
    """An exporter's port beside the application's."""
    with running("metrics") as pair, Monitor(pair.pid) as monitor:
        ask(pair.port, 5, "/work")
        ask(pair.other, 20, "/metrics")
        with Client(pair.other) as waiting:
            waiting.send(b"GET /metrics HTTP/1.1\r\n")  # half a head: read, and no request yet
            snapshot = monitor.wait_for(lambda s: s["total_requests"] == 25, "all requests end")
        application, metrics = by_port(snapshot, pair.port), by_port(snapshot, pair.other)
        assert (application["total"], metrics["total"]) == (5, 20)
        assert (application["protocol"], metrics["protocol"]) == ("http", "http")
        assert application["own"] and metrics["own"]
        assert application["processes"] == [pair.pid]
        one = Monitor(pair.pid, "--port", str(pair.port))
        other = Monitor(pair.pid, "--listener", f"127.0.0.1:{pair.other}")
        with one, other:
            ask(pair.port, 3, "/work")
            ask(pair.other, 4, "/metrics")
            first = one.wait_for(lambda s: s["total_requests"] == 3, "the application's requests end")
            second = other.wait_for(lambda s: s["total_requests"] == 4, "the exporter's requests end")
        assert [endpoint["path"] for endpoint in first["endpoints"]] == ["/work"]
        assert [endpoint["path"] for endpoint in second["endpoints"]] == ["/metrics"]
        assert first["target"]["listener"] == f"127.0.0.1:{pair.port}"
        assert len(second["listeners"]) == 1
        missing = run_monitor("--pid", str(pair.pid), "--port", "1", "--profile", PROFILE, "--interval", "0.1")
        assert missing.returncode == 3
        assert f"it listens on 127.0.0.1:{min(pair.port, pair.other)}" in missing.stderr


@pytest.mark.parametrize("output", ["--csv", "--influx", "--prometheus", "--json"])
def test_every_output_can_name_the_listener(output: str) -> None:
    with running("metrics") as pair:
        printed = run_monitor(
            "--pid", str(pair.pid), output, "--by-listener", "--profile", PROFILE, "--interval", "0.1"
        )
        assert printed.returncode == 0, printed.stderr
        for port in (pair.port, pair.other):
            address = f"127.0.0.1:{port}"
            named = {
                "--csv": f",{address}\n",
                "--influx": f",listener={address} ",
                "--prometheus": f',listener="{address}"}}',
                "--json": f'"listener":"{address}"',
            }
            assert named[output] in printed.stdout


def test_a_restarted_server_has_the_same_listener(engine: Engine) -> None:
    """It joins by the application's address, while no command runs; an exporter's port that is new is its own too."""
    with running("metrics") as first:
        engine.attach(first.pid)
        ask(first.port, 5, "/work")
        ask(first.other, 3, "/metrics")
    with running("metrics", first.port) as second:  # begins with a request
        ask(second.port, 6, "/work")
        ask(second.other, 4, "/metrics")
        snapshot = engine.snapshot(second.pid)
        application, metrics = by_port(snapshot, second.port), by_port(snapshot, second.other)
        assert (application["total"], metrics["total"]) == (12, 4)
        assert application["own"] and metrics["own"]
        assert application["processes"] == metrics["processes"] == [second.pid]
        assert snapshot["target"]["previous_pid"] == first.pid
        assert (snapshot["total_requests"], snapshot["undercount"]) == (19, 0)


@pytest.mark.parametrize("line", [b"push 1\r\n", b"ask 1\r\n"], ids=["push", "ask"])
def test_another_protocol_beside_http(line: bytes) -> None:
    """Its connections are never in flight, whoever spoke last when the monitor attached."""
    with running("lines") as pair, socket.create_connection(("127.0.0.1", pair.other)) as old:
        old.sendall(line)
        if line.startswith(b"ask"):
            assert old.recv(9) == b"+answer\r\n"
        with Monitor(pair.pid) as monitor:
            old.sendall(line * 3)
            ask(pair.port, 2, "/")
            snapshot = monitor.wait_for(lambda s: s["total_requests"] == 2, "the requests end")
            assert snapshot["active_concurrent"] == 0
            assert snapshot["peak_concurrent"] == 1
            with socket.create_connection(("127.0.0.1", pair.other)) as new:
                new.sendall(line)
                new.sendall(b"ask\r\n")
                assert new.recv(9) == b"+answer\r\n"
                snapshot = monitor.wait_for(
                    lambda s: by_port(s, pair.other)["protocol"] == "redis", "the protocol is recognized"
                )
            assert by_port(snapshot, pair.port)["protocol"] == "http"
            assert snapshot["active_concurrent"] == 0
            assert snapshot["undercount_by_cause"] == {}
            assert snapshot["target"]["address"] == f"127.0.0.1:{pair.port}"
            final = monitor.stop()
        assert final["total_requests"] == 2
        assert [endpoint["path"] for endpoint in final["endpoints"]] == ["/"]


def test_a_child_that_serves_by_itself() -> None:
    """A query engine or a model server that the application starts: listed, selectable, and never part of the sums."""
    with running("child") as pair, Monitor(pair.pid) as monitor:
        ask(pair.port, 10, "/")
        ask(pair.other, 30, "/")
        snapshot = monitor.wait_for(lambda s: by_port(s, pair.other)["total"] == 30, "the child's requests end")
        assert snapshot["total_requests"] == 10
        assert snapshot["peak_concurrent"] == 1
        assert not by_port(snapshot, pair.other)["own"]
        assert [worker["pid"] for worker in snapshot["workers"]] == [pair.pid]
        assert snapshot["target"]["address"] == f"127.0.0.1:{pair.port}"
        with Monitor(pair.pid, "--port", str(pair.other)) as chosen:
            ask(pair.other, 3, "/")
            assert chosen.wait_for(lambda s: s["total_requests"] == 3, "its requests end")["peak_concurrent"] == 1


def open_fifteen(server: Server, stack: ExitStack) -> None:
    """Five WebSockets, five event streams between two events, five slow requests."""
    for number in range(5):
        websocket = stack.enter_context(WebSocket(server.port))
        assert websocket.echoes(TEXT, b"hello")
        stream = stack.enter_context(Client(server.port))
        stream.send(request(f"/stream?gate=stream-{number}&n=2"))
        server.wait_at_gate("GET /stream", number + 1)
        server.open_gate(f"stream-{number}")
        assert stream.head()[0] == 200
        assert stream.chunk() == b"data: 0\n\n"
        slow = stack.enter_context(Client(server.port))
        slow.send(request("/hold?gate=slow"))
    server.wait_at_gate("GET /hold", 5)


def test_what_outlasts_the_keep_alive_timeout_is_in_a_request(
    start_server: Callable[..., Server], tmp_path: Path
) -> None:
    """uvicorn closes idle connections after a second here: those that are open for longer are in a request, although
    the server spoke last on most of them."""
    server = start_server(USUAL, "--timeout-keep-alive", "1")
    with ExitStack() as stack:
        open_fifteen(server, stack)
        idle = [stack.enter_context(Client(server.port)) for _ in range(5)]
        for client in idle:
            assert client.ask(request("/ok")).status == 200
        monitor = stack.enter_context(Monitor(server.pid))
        snapshot = monitor.wait_for(lambda s: s["active_concurrent"] >= 15, "those before the attach are found")
        assert snapshot["active_concurrent"] == 15
        assert snapshot["total_requests"] == 0
        wait_until(lambda: all(client.rest() == b"" for client in idle), "the server closes the idle ones")
        server.open_gate("slow", 5)
        snapshot = monitor.wait_for(lambda s: s["active_concurrent"] == 10, "the slow ones end")
        keep_alive(server.port, 20)
        snapshot = monitor.wait_for(lambda s: s["total_requests"] == 25, "the new ones end")
        assert snapshot["undercount_by_cause"] == {}
        assert snapshot["open_connections"] >= 10


PROGRAM = """
import asyncio, socket, uvicorn

async def app(scope, receive, send):
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while True:
            await receive()
    body = {"type": "http.response.body", "body": b"data: 0\\n\\n", "more_body": True}
    if scope["path"] == "/slow":
        await asyncio.sleep(600)
    await send({"type": "http.response.start", "status": 200})
    if scope["path"] == "/stream":
        await send(body)
        await asyncio.sleep(600)
    await send(body | {"more_body": False})

if __name__ == "__main__":
    listener = socket.create_server(("127.0.0.1", 0))
    print(listener.getsockname()[1], flush=True)
    config = uvicorn.Config(app, lifespan="off", log_level="error", KEEP_ALIVE)
    uvicorn.Server(config).run([listener])
"""


@contextmanager
def program_running(directory: Path, keep_alive: str) -> Iterator[tuple[int, int]]:
    """A program that calls uvicorn: its pid and its port."""
    (directory / "main.py").write_text(PROGRAM.replace("KEEP_ALIVE", keep_alive))
    process = subprocess.Popen(["/usr/bin/python3", "main.py"], cwd=directory, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout
        yield process.pid, int(process.stdout.readline())
    finally:
        kill_tree(process)


def open_fifteen_there(port: int, stack: ExitStack) -> None:
    for _ in range(5):
        assert stack.enter_context(WebSocket(port)).answer.status == 101
        stream = stack.enter_context(Client(port)).send(request("/stream"))
        assert stream.head()[0] == 200
        assert stream.chunk() == b"data: 0\n\n"
        stack.enter_context(Client(port)).send(request("/slow"))


@pytest.mark.parametrize(
    ("keep_alive", "found"),
    [
        ("", 15),  # the default, 5 s
        ("timeout_keep_alive=1", 15),
        ("timeout_keep_alive=int('1')", 5),  # unknown: only what waits for a response
    ],
    ids=["default", "set", "computed"],
)
def test_a_program_that_calls_uvicorn(keep_alive: str, found: int, tmp_path: Path) -> None:
    with ExitStack() as stack:
        pid, port = stack.enter_context(program_running(tmp_path, keep_alive))
        open_fifteen_there(port, stack)
        idle = [stack.enter_context(Client(port)) for _ in range(3)]
        for client in idle:
            assert client.ask(request("/")).status == 200
        wait_until(lambda: all(client.rest() == b"" for client in idle), "the server closes the idle ones")
        time.sleep(1.2)  # in case it is late
        with Monitor(pid) as monitor:
            assert monitor.next()["active_concurrent"] == found


def test_a_timeout_that_nothing_shows(tmp_path: Path) -> None:
    """The program seems to set one second, and sets sixty. An idle connection that was seen from its begin shows that;
    then the others count as idle, too."""
    hidden = "**({'timeout_keep_alive': 1} | {'timeout_' + 'keep_alive': 60})"
    with ExitStack() as stack:
        pid, port = stack.enter_context(program_running(tmp_path, hidden))
        old, asking = (stack.enter_context(Client(port)) for _ in range(2))
        assert old.ask(request("/")).status == 200
        asking.send(request("/slow"))
        monitor = stack.enter_context(Monitor(pid))
        monitor.wait_for(lambda s: s["active_concurrent"] == 2, "the idle one seems to be in a request")
        new = stack.enter_context(Client(port))
        assert new.ask(request("/")).status == 200
        snapshot = monitor.wait_for(lambda s: s["active_concurrent"] == 1, "the timeout is another one")
        assert snapshot["total_requests"] == 1
        assert old.ask(request("/")).status == 200
        snapshot = monitor.wait_for(lambda s: s["total_requests"] == 2, "it counts as usual")
        assert snapshot["active_concurrent"] == 1


def test_a_websocket_before_the_attach_is_one_after_its_next_frame(start_server: Callable[..., Server]) -> None:
    server = start_server(USUAL)
    with WebSocket(server.port) as websocket:
        assert websocket.echoes(TEXT, b"hello")
        with Monitor(server.pid) as monitor:
            assert websocket.echoes(TEXT, b"again")
            snapshot = monitor.wait_for(lambda s: s["websockets_active"] == 1, "it is recognized")
            assert snapshot["active_concurrent"] == 1
            websocket.socket.close()
            snapshot = monitor.wait_for(lambda s: s["active_concurrent"] == 0, "it is closed")
            assert snapshot["websockets_active"] == 0
            assert snapshot["failed_requests"] == 0
            assert snapshot["total_requests"] == 1


def test_ls_says_which_listeners_got_http(engine: Engine, tmp_path: Path) -> None:
    """Only an attached engine knows it; otherwise it is unknown, which is not "no"."""
    proc = OwnProc(tmp_path)

    def ls(*options: str) -> str:
        command = [*proc.command(), BINARY, "ls", *options]
        ended = subprocess.run(command, env=engine.environment, capture_output=True, text=True, timeout=PATIENCE)
        assert (ended.returncode, ended.stderr) == (0, "")
        return ended.stdout

    def listed() -> dict[str, tuple[bool | None, str | None]]:
        [server] = json.loads(ls("--json"))["servers"]
        assert [listener["address"] for listener in server["listeners"]] == server["listen"]
        return {listener["address"]: (listener["http"], listener["protocol"]) for listener in server["listeners"]}

    def text() -> str:
        return ls().splitlines()[2]

    with running("metrics") as pair:
        proc.show(pair.pid)
        own, other = f"127.0.0.1:{pair.port}", f"127.0.0.1:{pair.other}"
        assert listed() == {own: (None, None), other: (None, None)}
        assert text().strip() == "protocols unknown: not attached"
        engine.done("attach", "--pid", pair.pid)
        assert listed() == {own: (False, None), other: (False, None)}
        ask(pair.port, 1, "/")
        assert listed() == {own: (True, "http"), other: (False, None)}
        assert text().strip() == f"http on {own}; nothing yet on {other}"
        ask(pair.other, 1, "/metrics")
        assert text().startswith("    http on ")
        assert listed() == {own: (True, "http"), other: (True, "http")}
