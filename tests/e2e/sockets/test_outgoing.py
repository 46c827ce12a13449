# SPDX-License-Identifier: Apache-2.0
"""Requests that the application sends to other servers are never counted.

They go over TCP and Unix sockets, from the event loop and from other threads, on connections opened before and after
the monitor attaches."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.attached_engine import Engine
from harness.client import Client, request
from harness.observation import Observation, endpoint_of
from harness.restarts import listener, terminate
from harness.server import USUAL, Flavour, Server
from harness.waiting import wait_until

Start = Callable[..., Server]
Observe = Callable[..., Observation]


class Elsewhere(socketserver.StreamRequestHandler):
    """Answers any request with a 500, which would count as a failure of the target."""

    def handle(self) -> None:
        closing = False
        while not closing:
            head = b""
            while not head.endswith(b"\r\n\r\n"):
                line = self.rfile.readline()
                if not line:
                    return
                head += line
            closing = b"Connection: close" in head
            self.wfile.write(b"HTTP/1.1 500 Elsewhere\r\nContent-Length: 4\r\n\r\nbusy")


@contextmanager
def serving(server: socketserver.BaseServer) -> Iterator[None]:
    thread = threading.Thread(target=server.serve_forever, args=(0.02,))
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()


class TcpServer(socketserver.ThreadingTCPServer):
    daemon_threads = True


class UnixServer(socketserver.ThreadingUnixStreamServer):
    daemon_threads = True


@pytest.fixture
def others(short_directory: Path) -> Iterator[list[str]]:
    """Two servers over TCP and two over Unix sockets. Returns their ports and paths."""
    with ExitStack() as stack:
        addresses = []
        for name in ("one", "two"):
            tcp = stack.enter_context(TcpServer(("127.0.0.1", 0), Elsewhere))
            unix = stack.enter_context(UnixServer(str(short_directory / name), Elsewhere))
            for server in (tcp, unix):
                stack.enter_context(serving(server))
            addresses += [str(tcp.server_address[1]), str(short_directory / name)]
        yield addresses


def check(server: Server, others: list[str], observe: Observe) -> None:
    """The application has a connection open to half of these servers before the monitor attaches."""
    times = 5
    for address in others[: len(others) // 2]:
        with Client(server.address) as client:
            assert client.ask(request(f"/fetch?to={address}")).body.count(b"busy") == 2
    wait_until(lambda: server.tally().total("running") == 0, "no request runs")
    observation = observe(server)
    with Client(server.address) as client:
        for address in others * times:
            assert client.ask(request(f"/fetch?to={address}")).body.count(b"busy") == 2
        assert observation.monitor.next()["open_connections"] == 1
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == times * len(others)
    assert snapshot["failed_requests"] == snapshot["aborted_requests"] == 0
    assert snapshot["peak_connections"] == 1


@pytest.mark.parametrize("overlap", [False, True], ids=["restart", "overlap"])
def test_opened_before_the_server_listens(
    overlap: bool, others: list[str], start_server: Start, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the next server on the address, which joins what is attached when it begins to listen."""
    monkeypatch.setenv("E2E_POOLED", " ".join(others))
    engine.environment["MONITOR_KEEP_ENDED"] = "60"
    with listener(True) as made:
        server = start_server(inherited=made)
    engine.attach(server.pid)
    if not overlap:
        terminate(server)
    with listener(True, server.port) as made:
        new = start_server(inherited=made)
    if overlap:
        terminate(server)
    with Client(new.port) as client:
        for address in others * 3:
            assert client.ask(request(f"/fetch?to={address}")).body.count(b"busy") == 2
        last = engine.wait_for(new.pid, lambda s: s["active_concurrent"] == 0, "nothing is in flight")
    assert (last["total_requests"], last["failed_requests"], last["undercount"]) == (3 * len(others), 0, 0)
    assert (last["open_connections"], [each["address"] for each in last["listeners"]]) == (1, last["target"]["listen"])


FLAVOURS = [Flavour(uvicorn, "httptools", loop) for uvicorn in ("debian", "current") for loop in ("asyncio", "uvloop")]


@pytest.mark.parametrize("flavour", FLAVOURS, ids=str)
def test_sent_by_a_server_at_a_port(flavour: Flavour, others: list[str], start_server: Start, observe: Observe) -> None:
    check(start_server(flavour), others, observe)


def test_sent_by_a_server_at_a_unix_socket(
    others: list[str], short_directory: Path, start_server: Start, observe: Observe
) -> None:
    check(start_server(USUAL, unix=short_directory / "server.sock"), others, observe)


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_a_server_as_its_own_client(unix: bool, short_directory: Path, start_server: Start, observe: Observe) -> None:
    """One process holds both ends. Each request counts once, at the end that reads it, not at the end that sends it."""
    times = 10
    server = start_server(USUAL, unix=short_directory / "server.sock" if unix else None)
    asked = request(f"/fetch?to={server.address}")
    with Client(server.address) as client:
        assert client.ask(asked).status == 200  # opens the connection that the application keeps
    wait_until(lambda: server.tally().total("running") == 0, "no request runs")
    observation = observe(server)
    with Client(server.address) as client:
        for _ in range(times):
            assert client.ask(asked).status == 200
        assert observation.monitor.next()["open_connections"] == 2  # ours, and its own
    snapshot = observation.settle()
    observation.assert_equal(snapshot)
    assert snapshot["total_requests"] == 3 * times
    assert endpoint_of(snapshot, "/fetch")["completed"] == times
    assert snapshot["failed_requests"] == snapshot["aborted_requests"] == 0
