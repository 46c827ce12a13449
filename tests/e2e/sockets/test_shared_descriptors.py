# SPDX-License-Identifier: Apache-2.0
"""A connection is its socket, not a descriptor, over TCP and Unix sockets.

Descriptors are duplicated, closed in odd ways, reused at once, given to another process, or read by one thread and
written by another."""

import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

import pytest

from harness.blocking_server import BlockingServer
from harness.client import Address, Client, request
from harness.load import keep_alive
from harness.monitor import PROFILE, Monitor
from harness.observation import endpoint_of
from harness.server import listening_unix_sockets
from harness.waiting import wait_until

Attach = Callable[..., Monitor]

TCP = "tcp"


@pytest.fixture(params=[TCP, "unix"])
def address(request: pytest.FixtureRequest, short_directory: Path) -> Path | str:
    return TCP if request.param == TCP else short_directory / "server.sock"


def test_threads_read_and_write(address: Path | str, attach: Attach) -> None:
    count = 5_000
    with BlockingServer(address) as server:
        monitor = attach(server.pid)
        keep_alive(server.address, count)
        monitor.wait_for(lambda s: s["total_requests"] == count, f"{count} requests")
        last = monitor.stop()
    assert endpoint_of(last, "/ok")["status"]["2xx"] == count
    assert last["active_concurrent"] == last["failed_requests"] == last["aborted_requests"] == 0
    assert last["undercount_by_cause"] == {}


def test_duplicates(address: Path | str, attach: Attach) -> None:
    with BlockingServer(address) as server, Client(server.address) as client:
        monitor = attach(server.pid)
        for number in range(1, 11):
            assert client.ask(request("/dup")).body == b"ok"
            snapshot = monitor.wait_for(lambda s: s["total_requests"] == number, f"{number} requests")
            assert (snapshot["open_connections"], snapshot["active_concurrent"]) == (1, 0)
        client.send(request("/half-closed"))
        assert server.next_word() == "one is closed"
        snapshot = monitor.next()
        assert (snapshot["open_connections"], snapshot["active_concurrent"]) == (1, 1)
        server.go_on()
        assert client.response().body == b"ok"
        client.close()
        last = monitor.wait_for(lambda s: s["open_connections"] == 0, "the connection is closed")
    assert (last["total_requests"], last["active_concurrent"]) == (11, 0)
    assert last["failed_requests"] == last["aborted_requests"] == 0
    assert last["undercount_by_cause"] == {}


def test_close_range(address: Path | str, attach: Attach) -> None:
    with BlockingServer(address) as server:
        monitor = attach(server.pid)
        with Client(server.address) as client:
            assert client.ask(request("/ok")).body == b"ok"
            assert client.send(request("/close-range")).rest() == b""
            last = monitor.wait_for(
                lambda s: s["total_requests"] == 2 and s["open_connections"] == 0, "the connection is closed"
            )
    assert last["active_concurrent"] == last["aborted_requests"] == 0
    assert endpoint_of(last, "/close-range")["failed"] == last["failed_requests"] == 1


def test_descriptors_are_reused_at_speed(address: Path | str, attach: Attach) -> None:
    """Four clients at once, with a new connection for every two requests, so that descriptors are soon reused."""
    clients, connections = 4, 400

    def ask(target: Address) -> None:
        for _ in range(connections):
            with Client(target) as client:
                assert client.ask(request("/ok")).body == b"ok"
                assert client.ask(request("/dup")).body == b"ok"

    with BlockingServer(address) as server:
        monitor = attach(server.pid)
        threads = [threading.Thread(target=ask, args=(server.address,)) for _ in range(clients)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        total = 2 * clients * connections
        monitor.wait_for(lambda s: s["total_requests"] == total and s["open_connections"] == 0, f"a total of {total}")
        last = monitor.stop()
    assert endpoint_of(last, "/ok")["status"]["2xx"] == endpoint_of(last, "/dup")["status"]["2xx"] == total // 2
    assert last["active_concurrent"] == last["failed_requests"] == last["aborted_requests"] == 0
    assert last["undercount_by_cause"] == {}


def test_connections_are_handed_to_a_worker(address: Path | str, attach: Attach) -> None:
    connections = 20
    with BlockingServer(address, "hand-over") as server, ExitStack() as stack:
        monitor = attach(server.pid)
        clients = [stack.enter_context(Client(server.address)) for _ in range(connections)]
        for _ in range(3):
            for client in clients:
                assert client.ask(request("/ok")).body == b"ok"
        snapshot = monitor.wait_for(lambda s: s["total_requests"] == 3 * connections, "all requests")
        assert snapshot["open_connections"] == connections
        (worker,) = [worker for worker in snapshot["workers"] if worker["total"]]
        assert worker["pid"] != server.pid
        assert worker["total"] == 3 * connections
        assert snapshot["undercount_by_cause"] == {}


def test_a_connection_accepted_by_another_process_is_counted(short_directory: Path, attach: Attach) -> None:
    """Another process answers one request and then gives the connection to the target. What the target reads counts,
    although the connection came to a port on which the target does not listen. From outside, the earlier bytes look as
    if the target had read them without an event, as with splice; so they are a gap."""
    path = short_directory / "take.sock"
    with BlockingServer(TCP, "take", str(path)) as server, socket.create_server(("127.0.0.1", 0)) as listener:
        wait_until(
            lambda: str(path) in listening_unix_sockets(server.pid),
            "the server accepts connections from other processes",
        )
        monitor = attach(server.pid)
        with Client(listener.getsockname()[1]) as client:
            accepted, _ = listener.accept()
            client.send(request("/not-the-targets"))
            assert accepted.recv(65536).startswith(b"GET /not")
            accepted.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            assert client.response().status == 200
            with socket.socket(socket.AF_UNIX) as giver:
                giver.connect(str(path))
                socket.send_fds(giver, [b"x"], [accepted.fileno()])
            accepted.close()
            for _ in range(5):
                assert client.ask(request("/ok")).body == b"ok"
        monitor.wait_for(lambda s: s["total_requests"] == 5 and s["open_connections"] == 0, "five requests")
        last = monitor.stop()
    assert [endpoint["path"] for endpoint in last["endpoints"]] == ["/ok"]
    assert last["active_concurrent"] == last["failed_requests"] == last["aborted_requests"] == 0
    assert last["undercount_by_cause"] == {"gap": 1}


def answer_as_another_process(listener: socket.socket, ends: list[str]) -> None:
    """Takes a connection over and answers its requests until the client leaves."""
    giver, _ = listener.accept()
    with giver:
        _, descriptors, _, _ = socket.recv_fds(giver, 1, 1)
    with socket.socket(fileno=descriptors[0]) as connection:
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 500 Elsewhere\r\nContent-Length: 4\r\n\r\nelse")
    ends.append("gone")


def test_requests_that_another_process_reads(address: Path | str, short_directory: Path, attach: Attach) -> None:
    """The connection is given to this process, which is outside the target and continues to serve it."""
    ends: list[str] = []
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "other.sock"))
        listener.listen()
        other = threading.Thread(target=answer_as_another_process, args=(listener, ends))
        other.start()
        with BlockingServer(address, str(short_directory / "other.sock")) as server:
            monitor = attach(server.pid)
            with Client(server.address) as client:
                assert client.ask(request("/ok")).body == b"ok"
                assert client.ask(request("/give")).body == b"ok"
                for _ in range(5):
                    assert client.ask(request("/ok")).status == 500
                snapshot = monitor.next()
                assert (snapshot["total_requests"], snapshot["active_concurrent"]) == (2, 0)
                assert snapshot["open_connections"] == 0  # of the target's connections
            other.join()
            with Client(server.address) as client:
                assert client.ask(request("/ok")).body == b"ok"
            monitor.wait_for(lambda s: s["total_requests"] == 3 and s["open_connections"] == 0, "one more")
            last = monitor.stop()
    assert ends == ["gone"]
    assert last["failed_requests"] == last["aborted_requests"] == last["active_concurrent"] == 0
    assert last["undercount_by_cause"] == {}


def test_responses_written_by_another_process(address: Path | str, short_directory: Path, attach: Attach) -> None:
    """The target has read the request; this process answers it without reading. Only the hooks on TCP sockets see the
    response. Otherwise the request ends without a status, when a snapshot finds that the target does not hold the
    socket."""
    seen = address == TCP and PROFILE == "socket"
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(short_directory / "other.sock"))
        listener.listen()
        with (
            BlockingServer(address, str(short_directory / "other.sock")) as server,
            Client(server.address) as client,
        ):
            monitor = attach(server.pid)
            client.send(request("/give-asked"))
            giver, _ = listener.accept()
            with giver:
                _, descriptors, _, _ = socket.recv_fds(giver, 1, 1)
            with socket.socket(fileno=descriptors[0]) as connection:
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
                assert client.response().body == b"ok"
                monitor.wait_for(lambda s: (s["total_requests"], s["active_concurrent"]) == (1, 0), "it has ended")
            last = monitor.stop()
    assert last["total_requests"] == 1
    endpoint = endpoint_of(last, "/give-asked")
    assert (endpoint["status"]["2xx"], endpoint["status"]["none"]) == ((1, 0) if seen else (0, 1))
    assert endpoint["failed"] == (0 if seen else 1)
    assert last["undercount_by_cause"] == {}
