# SPDX-License-Identifier: Apache-2.0
"""Requests that the application sends to other servers are never counted.

They go over TCP and Unix sockets, from the event loop and other threads, on connections opened before and after the
monitor attaches."""

import socketserver
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from harness.client import Client, request
from harness.observation import Observation, endpoint_of
from harness.server import USUAL, Flavour, Server
from harness.waiting import wait_until

Start = Callable[..., Server]
Observe = Callable[..., Observation]


class Elsewhere(socketserver.StreamRequestHandler):
    """Answers any request, with what would be a failure if it were the target's."""

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
    """Two servers over TCP and two over Unix sockets: their ports and paths."""
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
    """To half of the others the application has a connection open before the monitor comes."""
    times = 5
    for address in others[: len(others) // 2]:
        with Client(server.address) as client:
            assert client.ask(request(f"/fetch?to={address}")).body.count(b"busy") == 2
    wait_until(lambda: server.tally().total("running") == 0, "nothing runs")
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
    """One process holds both ends: each request counts once, where it is read and not where it is asked."""
    times = 10
    server = start_server(USUAL, unix=short_directory / "server.sock" if unix else None)
    asked = request(f"/fetch?to={server.address}")
    with Client(server.address) as client:
        assert client.ask(asked).status == 200  # opens the connection that it keeps
    wait_until(lambda: server.tally().total("running") == 0, "nothing runs")
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
