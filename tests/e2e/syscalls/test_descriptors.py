# SPDX-License-Identifier: Apache-2.0
"""Descriptors that are duplicated, passed to another process, closed in every way, or reused at once.

Threads, a child, or a process that is killed read and write them."""

import os
import signal
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from harness.changes import Watched
from harness.client import Client, request
from harness.monitor import Monitor
from harness.syscall_server import SyscallServer, result_of
from harness.waiting import wait_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
UNTIL_CLOSE = b"HTTP/1.1 200 OK\r\n\r\nuntil the close"


def exchange(server: SyscallServer, client: Client, fd: int, path: str) -> None:
    client.send(request(path))
    server.do("read", fd, 1000)
    server.do("write", fd, OK)
    assert client.response().body == b"ok"


def begin(watched: Watched, client: Client, fd: int, path: str) -> None:
    client.send(request(path))
    watched.server.do("read", fd, 1000)
    assert watched.change() == {f"GET {path} active": 1}


def test_a_duplicate_is_the_same_connection(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        double = watched.server.do("dup", fd)
        begin(watched, client, fd, "/double")
        watched.server.do("close", fd)
        assert watched.change() == {}
        watched.server.do("write", double, OK)
        assert watched.change() == {"GET /double active": -1, "GET /double 2xx": 1}
        exchange(watched.server, client, double, "/double")
        assert watched.change() == {"GET /double 2xx": 1}
        begin(watched, client, double, "/cut")
        watched.server.do("close", double)
        assert watched.change() == {"GET /cut active": -1, "GET /cut none": 1, "failed": 1}
        assert watched.server.do("dup3", 0, fd) == fd  # the fixture closes it


def close(server: SyscallServer, fd: int) -> None:
    server.do("close", fd)


def close_range(server: SyscallServer, fd: int) -> None:
    server.do("close_range", fd, fd)


def close_by_dup3(server: SyscallServer, fd: int) -> None:
    """The descriptor's number gets another file."""
    server.do("dup3", 0, fd)
    server.do("close", fd)


def shut_down(server: SyscallServer, fd: int) -> None:
    server.do("shutdown", fd, socket.SHUT_RDWR)
    server.do("close", fd)


def shut_down_writing(server: SyscallServer, fd: int) -> None:
    server.do("shutdown", fd, socket.SHUT_WR)
    server.do("close", fd)


every_family = pytest.mark.parametrize("family", ["tcp", "unix"])
every_close = pytest.mark.parametrize("end", [close, close_range, close_by_dup3, shut_down, shut_down_writing])
Close = Callable[[SyscallServer, int], None]


@every_family
@every_close
def test_the_server_closes(watched: Watched, family: str, end: Close) -> None:
    """While idle, with a request unanswered, and at the end of a response that only the close delimits."""
    for path, answer, expected in (
        ("/idle", OK, {}),
        ("/cut", b"", {"GET /cut active": -1, "GET /cut none": 1, "failed": 1}),
        ("/short", OK[:-1], {"GET /short active": -1, "GET /short 2xx": 1, "failed": 1}),
        ("/whole", UNTIL_CLOSE, {"GET /whole active": -1, "GET /whole 2xx": 1}),
    ):
        with Client(watched.server.port if family == "tcp" else watched.server.path) as client:
            fd = watched.server.do("accept", watched.server.tcp if family == "tcp" else watched.server.unix)
            begin(watched, client, fd, path)
            watched.server.do("write", fd, answer)
            assert watched.change() == ({"GET /idle active": -1, "GET /idle 2xx": 1} if path == "/idle" else {})
            end(watched.server, fd)
            assert client.rest() == answer
            watched.wait_change(expected, path)


@every_family
def test_the_client_closes(watched: Watched, family: str) -> None:
    """A half-close ends nothing. After a full close, unanswered requests are aborted once the server closes too."""
    for whole in (False, True):
        with watched.server.connection(family) as (client, fd):
            begin(watched, client, fd, "/left")
            if whole:
                client.close()
            else:
                client.finish()
            assert watched.server.do("read", fd, 1000) == b""
            if not whole:
                watched.server.do("write", fd, OK)
                assert client.response().body == b"ok"
                assert watched.change() == {"GET /left active": -1, "GET /left 2xx": 1}
        watched.wait_change({"GET /left active": -1, "GET /left none": 1, "aborted": 1} if whole else {})


def test_many_closed_at_once(watched: Watched) -> None:
    clients, first, last = [], 0, 0
    for number in range(20):
        clients.append(Client(watched.server.port).send(request("/range")))
        last = watched.server.do("accept", watched.server.tcp)
        first = first or last
        watched.server.do("read", last, 1000)
        if number % 2:
            watched.server.do("write", last, OK)
    assert last - first == 19
    assert watched.change() == {"GET /range active": 10, "GET /range 2xx": 10}
    watched.server.do("close_range", first, last)
    assert watched.change() == {"GET /range active": -10, "GET /range none": 10, "failed": 10}
    for client in clients:
        client.close()


@pytest.mark.parametrize("answered", [True, False])
def test_a_descriptor_that_is_reused_at_once(watched: Watched, answered: bool) -> None:
    clients, numbers = [], set()
    for _ in range(50):
        clients.append(client := Client(watched.server.port))
        fd = watched.server.do("accept4", watched.server.tcp)
        numbers.add(fd)
        client.send(request("/reused", "POST", "Content-Length: 10"))
        watched.server.do("read", fd, 1000)
        if answered:
            watched.server.do("write", fd, OK)
        watched.server.do("close", fd)
    assert len(numbers) == 1
    ended = {"POST /reused 2xx": 50} if answered else {"POST /reused none": 50, "failed": 50}
    assert watched.change() == ended
    for client in clients:
        client.close()


def test_a_descriptor_that_is_reused_while_a_read_waits(watched: Watched) -> None:
    """The call is about the connection that the descriptor meant when the call began. The monitor sees which connection
    the bytes belong to, but does not trust the buffer's address."""
    with Client(watched.server.port) as old, Client(watched.server.port) as new:
        fd = watched.server.do("accept", watched.server.tcp)
        reader = watched.server.do("thread_start", [["read", fd, 1000]])
        wait_until(lambda: watched.server.do("threads_asleep") == 1, "the read waits")
        watched.server.do("close", fd)
        assert watched.server.do("accept", watched.server.tcp) == fd
        old.send(request("/old"))
        (answer,) = watched.server.do("thread_join", reader)
        assert result_of(answer) == request("/old")
        assert old.rest() == b""
        exchange(watched.server, new, fd, "/new")
        cause = "registers" if watched.profile == "socket" else "gap"
        assert watched.change() == {"GET /new 2xx": 1, f"undercount {cause}": 1}
        watched.server.do("close", fd)


def test_two_duplicates_in_two_threads(watched: Watched) -> None:
    """One reads everything and the other writes all responses, each through its own descriptor."""
    count = 200
    asked = request("/thread", "POST", body=b"body")
    with watched.server.connection() as (client, fd):
        double = watched.server.do("dup", fd)
        reader = watched.server.do("thread_start", [["recv_bulk", fd, len(asked) * count, 1000]])
        for _ in range(count):
            client.send(asked)
        (read,) = watched.server.do("thread_join", reader)
        assert result_of(read) >= 1
        writer = watched.server.do("thread_start", [["writev", double, [OK[:5], OK[5:]]]] * count)
        for _ in range(count):
            assert client.response().body == b"ok"
        assert len(watched.server.do("thread_join", writer)) == count
        watched.server.do("close", double)
        assert watched.change() == {"POST /thread 2xx": count}


def test_a_thread_reads_while_another_writes(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        client.send(request("/first"))
        watched.server.do("read", fd, 1000)
        reader = watched.server.do("thread_start", [["recvmsg", fd, [7, 1000]], ["recvmmsg", fd, [[7, 1000]], 0]])
        for path in ("/second", "/third"):
            watched.server.do("writev", fd, [OK[:7], OK[7:]])
            assert client.response().body == b"ok"
            client.send(request(path))
            watched.monitor.wait_for(lambda snapshot: snapshot["active_concurrent"] == 1, f"{path} has been read")
        watched.server.do("thread_join", reader)
        watched.server.do("write", fd, OK)
        assert watched.change() == {"GET /first 2xx": 1, "GET /second 2xx": 1, "GET /third 2xx": 1}


def results(answers: list[dict[str, Any]]) -> list[Any]:
    return [result_of(answer) for answer in answers]


def test_a_child_finishes_the_response(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        begin(watched, client, fd, "/child")
        watched.server.do("write", fd, OK[:10])
        assert results(watched.server.do("in_child", [["write", fd, OK[10:]], ["close", fd]])) == [len(OK) - 10, 0]
        # The child's exit and close end nothing, because the parent also holds the connection.
        assert watched.change() == {"GET /child active": -1, "GET /child 2xx": 1}
        client.send(request("/child"))
        assert results(watched.server.do("in_child", [["read", fd, 1000], ["write", fd, OK]]))[1] == len(OK)
        exchange(watched.server, client, fd, "/parent")
        assert watched.change() == {"GET /child 2xx": 1, "GET /parent 2xx": 1}


def test_a_child_serves_a_connection_of_its_own(watched: Watched) -> None:
    with Client(watched.server.port) as client:
        client.send(request("/own"))
        fd = watched.server.do("accept", watched.server.tcp)
        answers = watched.server.do("in_child", [["read", fd, 1000], ["write", fd, UNTIL_CLOSE]])
        assert results(answers)[1] == len(UNTIL_CLOSE)
        assert watched.change() == {"GET /own active": 1}
        watched.server.do("close", fd)
        assert client.response().body == b"until the close"
        watched.wait_change({"GET /own active": -1, "GET /own 2xx": 1})


def test_a_descriptor_passed_over_a_socket(watched: Watched) -> None:
    """SCM_RIGHTS. The socket pair that carries the descriptor is internal to the server, and not a connection."""
    with watched.server.connection() as (client, fd):
        ours, its = watched.server.do("make_pair")
        begin(watched, client, fd, "/passed")
        watched.server.do("pass_descriptor", ours, fd)
        passed = watched.server.do("take_descriptor", its)
        watched.server.do("close", fd)
        # Bytes that look like requests, between processes of the server.
        watched.server.do("write", ours, request("/no"))
        watched.server.do("read", its, 1000)
        watched.server.do("write", its, OK)
        watched.server.do("read", ours, 1000)
        assert watched.change() == {}
        watched.server.do("write", passed, OK)
        exchange(watched.server, client, passed, "/passed")
        assert watched.change() == {"GET /passed active": -1, "GET /passed 2xx": 2}
        assert watched.server.do("dup3", passed, fd) == fd
        for each in (passed, ours, its):
            watched.server.do("close", each)


@pytest.mark.parametrize("unread", [False, True], ids=["all read", "bytes unread"])
def test_killed_in_the_middle(tmp_path: Path, unread: bool) -> None:
    with SyscallServer(tmp_path) as server, Monitor(server.pid) as monitor:
        clients = [Client(server.port) for _ in range(4)]
        fds = [server.do("accept", server.tcp) for _ in clients]
        for client, fd, answer in zip(clients, fds, (b"", OK[:-1], UNTIL_CLOSE, OK), strict=True):
            client.send(request("/killed"))
            server.do("read", fd, 1000)
            server.do("write", fd, answer)
            if unread:
                client.send(b"more")
        assert monitor.next()["active_concurrent"] == 3
        os.kill(server.pid, signal.SIGKILL)
        status, last = monitor.wait_end()
        for client in clients:
            client.close()
    assert status == 3
    assert (last["active_concurrent"], last["total_requests"], last["aborted_requests"]) == (0, 4, 0)
    # A response that only the close delimits is complete. The close with unread bytes is a reset, but the server's own.
    assert last["failed_requests"] == 2
    assert last["undercount_by_cause"] == {}
