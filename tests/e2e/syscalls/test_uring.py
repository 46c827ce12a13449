# SPDX-License-Identifier: Apache-2.0
"""Servers that receive or send by io_uring: in the caller, a kernel pool thread, or the polling kernel thread.

Bodies are counted exactly. A head is one undercount, and the next clean request counts again."""

import socket

import pytest

from harness.changes import Watched
from harness.client import Client, request
from harness.syscall_server import SyscallServer

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

every_kind = pytest.mark.parametrize("kind", ["caller", "pool", "polled"])


def undercount(watched: Watched, count: int = 1) -> dict[str, int]:
    """The hooks on sockets see an event without its bytes. Those on system calls only notice that bytes are missing."""
    return {"undercount registers" if watched.profile == "socket" else "undercount gap": count}


def exchange(server: SyscallServer, client: Client, fd: int, path: str) -> None:
    """One request and response with ordinary calls."""
    client.send(request(path))
    server.do("read", fd, 1000)
    server.do("write", fd, OK)
    assert client.response().body == b"ok"


@every_kind
@pytest.mark.parametrize("first", [True, False], ids=["at first", "later"])
def test_heads_received(watched: Watched, kind: str, first: bool) -> None:
    head = request("/unseen")
    with watched.server.connection() as (client, fd):
        if not first:
            exchange(watched.server, client, fd, "/seen")
        for _ in range(3):
            client.send(head)
            assert watched.server.do("uring_recv", kind, fd, 1000) == head
            watched.server.do("write", fd, OK)
        exchange(watched.server, client, fd, "/seen")
        assert watched.change() == {"GET /seen 2xx": 1 if first else 2} | undercount(watched)


@every_kind
def test_bodies_received(watched: Watched, kind: str) -> None:
    with watched.server.connection() as (client, fd):
        # If the receiving call is not seen, a single byte looks like urgent data.
        for length in (2, 1000, 50_000):
            client.send(request("/body", "POST", f"Content-Length: {length}"))
            watched.server.do("read", fd, 1000)
            client.send(b"G" * length)
            while length:
                length -= len(watched.server.do("uring_recv", kind, fd, length))
            watched.server.do("write", fd, OK)
        exchange(watched.server, client, fd, "/seen")
        assert watched.change() == {"POST /body 2xx": 3, "GET /seen 2xx": 1}


@every_kind
def test_responses_sent(watched: Watched, kind: str) -> None:
    with watched.server.connection() as (client, fd):
        client.send(request("/unseen") * 2)
        watched.server.do("read", fd, 1000)
        assert watched.change() == {"GET /unseen active": 2}
        for _ in range(2):
            assert watched.server.do("uring_send", kind, fd, OK) == len(OK)
        ended = {"GET /unseen active": -2, "GET /unseen none": 2}
        if watched.profile == "syscall":
            # Only the next send reveals that something was sent, and is lost too. A known deviation.
            exchange(watched.server, client, fd, "/too-early")
            ended |= {"GET /too-early none": 1}
        exchange(watched.server, client, fd, "/seen")
        assert watched.change() == {"GET /seen 2xx": 1} | ended | undercount(watched)


@every_kind
def test_bodies_sent(watched: Watched, kind: str) -> None:
    with watched.server.connection() as (client, fd):
        for length in (1, 1000, 50_000):
            client.send(request("/body"))
            watched.server.do("read", fd, 1000)
            watched.server.do("write", fd, b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % length)
            assert watched.change() == {"GET /body active": 1}
            assert watched.server.do("uring_send", kind, fd, b"H" * length) == length
            assert len(client.response().body) == length
            exchange(watched.server, client, fd, "/seen")
            assert watched.change() == {"GET /body active": -1, "GET /body 2xx": 1, "GET /seen 2xx": 1}


@every_kind
def test_only_a_ring(watched: Watched, kind: str) -> None:
    """Nothing on this connection is ever seen: one undercount, whatever passes."""
    with watched.server.connection() as (client, fd):
        for _ in range(5):
            client.send(request("/unseen"))
            watched.server.do("uring_recv", kind, fd, 1000)
            watched.server.do("uring_send", kind, fd, OK)
            assert client.response().body == b"ok"
        if watched.profile == "socket":
            assert watched.change() == {"undercount registers": 1}


@every_kind
def test_accepted_and_closed(watched: Watched, kind: str) -> None:
    """Ordinary calls between them count as usual; the close ends the request in flight."""
    for answered in (True, False):
        with Client(watched.server.port) as client:
            fd = watched.server.do("uring_accept", kind, watched.server.tcp)
            exchange(watched.server, client, fd, "/seen")
            client.send(request("/last"))
            watched.server.do("read", fd, 1000)
            if answered:
                watched.server.do("write", fd, OK)
            assert watched.change() == {"GET /seen 2xx": 1, "GET /last 2xx" if answered else "GET /last active": 1}
            watched.server.do("uring_close", kind, fd)
            if answered:
                assert client.response().body == b"ok"
            assert client.rest() == b""
            watched.wait_change({} if answered else {"GET /last active": -1, "GET /last none": 1, "failed": 1})


def test_a_ring_receives_while_the_server_is_in_a_write(watched: Watched) -> None:
    """The kernel does the ring's receive when it returns from another call on the same connection, whose buffer is a
    different one."""
    decoy = b"GET /decoy HTTP/1.1\r\nHost: x\r\n\r\n"
    with watched.server.connection() as (client, fd):
        watched.server.do("set_option", fd, socket.SOL_SOCKET, socket.SO_SNDBUF, 30_000)
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 30_000)
        client.send(request("/blocked"))
        watched.server.do("read", fd, 1000)
        assert watched.change() == {"GET /blocked active": 1}
        body = decoy * 100_000
        data = b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body)
        watched.server.do("write", fd, data)
        watched.server.do("uring_recv_start", "caller", fd, 1000)
        # This write blocks because the client does not read, until there is something for the ring to receive.
        watched.server.start("write", fd, body)
        client.take(len(data) + 1)  # so the write is under way
        client.send(request("/unseen"))
        written = watched.server.finish()
        assert 0 < written < len(body)
        assert watched.server.do("uring_recv_finish", "caller") == request("/unseen")
        watched.server.start("write_all", fd, body[written:] + OK)
        client.take(len(body) - 1 + len(OK))
        watched.server.finish()
        exchange(watched.server, client, fd, "/seen")
        # The hooks on sockets lose the stream in the middle of the response. Those on system calls notice the gap at
        # the next read.
        ended = "GET /blocked none" if watched.profile == "socket" else "GET /blocked 2xx"
        expected = {"GET /blocked active": -1, ended: 1, "GET /seen 2xx": 1}
        assert watched.change() == expected | undercount(watched)
