# SPDX-License-Identifier: Apache-2.0
"""32-bit programs, whose system calls have other numbers, registers and layouts, and 64-bit programs that make such
calls by int 0x80: counted like others."""

import itertools
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from harness.changes import Changes, Watched
from harness.client import Client, chunked, request
from harness.monitor import Monitor
from harness.server import PROGRAMS
from harness.syscall_server import SyscallServer

Attach = Callable[..., Monitor]

MSG_WAITFORONE = 0x10000

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
# With bodies that look like requests.
WIRE = (
    request("/a", "GET", "X-Long: " + "v" * 200)
    + request("/b", "POST", body=request("/no", "GET") * 5)
    + request("/c", "POST", "Transfer-Encoding: chunked")
    + chunked(request("/no"), b"y" * 300, b"z")
    + request("/d", "PUT", body=b"z")
)
BEGUN = {"GET /a active": 1, "POST /b active": 1, "POST /c active": 1, "PUT /d active": 1}
ENDED = dict.fromkeys(BEGUN, -1) | {name.replace("active", "2xx"): 1 for name in BEGUN}


def sizes(total: int) -> list[int]:
    """Vectors, some of them empty, that hold `total` bytes."""
    found = []
    for size in itertools.cycle((0, 1, 20, 3, 0, 50, 8)):
        found.append(min(size, total))
        total -= found[-1]
        if not total:
            return found
    raise AssertionError


def cut(data: bytes) -> list[bytes]:
    starts = list(itertools.accumulate(sizes(len(data)), initial=0))
    return [data[a:b] for a, b in itertools.pairwise(starts)]


def in_fives(items: list[int]) -> list[list[int]]:
    left = iter(items)
    return list(iter(lambda: list(itertools.islice(left, 5)), []))


Read = Callable[[SyscallServer, int, int], bytes]
Send = Callable[[SyscallServer, int, bytes], object]


def recvmmsg(how: str) -> Read:
    return lambda server, fd, size: b"".join(
        server.do("compat_recvmmsg", fd, in_fives(sizes(size)), MSG_WAITFORONE, -1, how)
    )


READS: dict[str, Read] = {
    "read": lambda server, fd, size: server.do("compat_read", fd, size),
    "readv": lambda server, fd, size: server.do("compat_readv", fd, sizes(size)),
    "preadv2": lambda server, fd, size: server.do("compat_preadv2", fd, sizes(size)),
    "recv by socketcall": lambda server, fd, size: server.do("compat_recv", fd, size),
    "recvfrom": lambda server, fd, size: server.do("compat_recvfrom", fd, size),
    "recvfrom by socketcall": lambda server, fd, size: server.do("compat_recvfrom", fd, size, 0, "socketcall"),
    "recvmsg": lambda server, fd, size: server.do("compat_recvmsg", fd, sizes(size)),
    "recvmsg by socketcall": lambda server, fd, size: server.do("compat_recvmsg", fd, sizes(size), 0, "socketcall"),
    "recvmmsg": recvmmsg("direct"),
    "recvmmsg by socketcall": recvmmsg("socketcall"),
    "recvmmsg_time64": recvmmsg("time64"),
}
SENDS: dict[str, Send] = {
    "write": lambda server, fd, data: server.do("compat_write", fd, data),
    "writev": lambda server, fd, data: server.do("compat_writev", fd, cut(data)),
    "pwritev2": lambda server, fd, data: server.do("compat_pwritev2", fd, cut(data)),
    "send by socketcall": lambda server, fd, data: server.do("compat_send", fd, data),
    "sendto": lambda server, fd, data: server.do("compat_sendto", fd, data),
    "sendto by socketcall": lambda server, fd, data: server.do("compat_sendto", fd, data, 0, "socketcall"),
    "sendmsg": lambda server, fd, data: server.do("compat_sendmsg", fd, cut(data)),
    "sendmsg by socketcall": lambda server, fd, data: server.do("compat_sendmsg", fd, cut(data), 0, "socketcall"),
    "sendmmsg": lambda server, fd, data: server.do("compat_sendmmsg", fd, [cut(data[:30]), cut(data[30:])]),
    "sendmmsg by socketcall": lambda server, fd, data: server.do(
        "compat_sendmmsg", fd, [cut(data[:30]), cut(data[30:])], 0, "socketcall"
    ),
}
every_family = pytest.mark.parametrize("family", ["tcp", "unix"])
every_read = pytest.mark.parametrize("read", READS.values(), ids=READS)
every_send = pytest.mark.parametrize("send", SENDS.values(), ids=SENDS)


@every_family
@every_read
@pytest.mark.parametrize("size", [7, 2000])
def test_each_receive(watched: Watched, family: str, read: Read, size: int) -> None:
    with watched.server.connection(family) as (client, fd):
        client.send(WIRE)
        got = b""
        while len(got) < len(WIRE):
            got += read(watched.server, fd, size)
        assert got == WIRE
        assert watched.change() == BEGUN
        watched.server.do("compat_write", fd, OK * 4)
        assert watched.change() == ENDED


@every_family
@every_send
def test_each_send(watched: Watched, family: str, send: Send) -> None:
    with watched.server.connection(family) as (client, fd):
        for path in ("/one", "/two"):
            client.send(request(path) * 3)
            watched.server.do("compat_recv", fd, 4096)
            send(watched.server, fd, OK * 3)
            assert [client.response().body for _ in range(3)] == [b"ok"] * 3
            assert watched.change() == {f"GET {path} 2xx": 3}


@every_read
def test_in_two_receives_split_everywhere(watched: Watched, read: Read) -> None:
    asked = request("/split", "POST", body=b"body")
    with watched.server.connection() as (client, fd):
        for at in range(1, len(asked)):
            client.send(asked[:at])
            assert read(watched.server, fd, 1000) == asked[:at]
            client.send(asked[at:])
            assert read(watched.server, fd, 1000) == asked[at:]
            watched.server.do("compat_writev", fd, [OK[:at], OK[at:]])
        assert watched.change() == {"POST /split 2xx": len(asked) - 1}


@every_family
def test_with_other_calls_on_one_connection(watched: Watched, family: str) -> None:
    """A 64-bit program that makes some of its calls by int 0x80."""
    with watched.server.connection(family) as (client, fd):
        for read, send in itertools.product(("read", "compat_read"), ("write", "compat_write")):
            client.send(request("/mixed"))
            watched.server.do(read, fd, 1000)
            watched.server.do(send, fd, OK)
        client.send(request("/mixed") * 2)
        assert len(watched.server.do("recvmmsg", fd, [[10], [20]], 0)) == 2
        watched.server.do("compat_readv", fd, [1000])
        watched.server.do("sendmmsg", fd, [[OK], [OK[:10]]])
        watched.server.do("compat_sendmsg", fd, [OK[10:]])
        assert watched.change() == {"GET /mixed 2xx": 6}


def test_recvmmsg_again_and_again(watched: Watched) -> None:
    head = request("/again")
    with watched.server.connection() as (client, fd):
        for count in (1, 3, 2, 1, 4, 1):
            client.send(head * count)
            asked = [[len(head)]] * count
            assert watched.server.do("compat_recvmmsg", fd, asked, 0) == [head] * count
            watched.server.do("compat_sendmmsg", fd, [[OK]] * count)
        assert watched.change() == {"GET /again 2xx": 12}


def test_recvmmsg_with_a_time_limit(watched: Watched) -> None:
    """Like the 64-bit call: an undercount under the profile "socket", unless one message is all."""
    with watched.server.connection() as (client, fd):
        for how in ("direct", "socketcall", "time64"):
            client.send(request("/one"))
            assert watched.server.do("compat_recvmmsg", fd, [[100]], 0, 9, how) == [request("/one")]
            watched.server.do("compat_write", fd, OK)
        assert watched.change() == {"GET /one 2xx": 3}
        client.send(request("/two"))
        watched.server.do("compat_recvmmsg", fd, [[100], [100]], 0, 0)
        watched.server.do("compat_write", fd, OK)
        expected = {"undercount registers": 1} if watched.profile == "socket" else {"GET /two 2xx": 1}
        assert watched.change() == expected


@every_family
@pytest.mark.parametrize("how", ["direct", "socketcall"])
def test_peeked_bytes_count_once(watched: Watched, family: str, how: str) -> None:
    asked = request("/peek")
    with watched.server.connection(family) as (client, fd):
        client.send(asked)
        assert watched.server.do("compat_recvfrom", fd, 1000, socket.MSG_PEEK, how) == asked
        assert watched.server.do("compat_recvmsg", fd, [5, 1000], socket.MSG_PEEK, how) == asked
        assert watched.change() == {}
        assert watched.server.do("compat_recvfrom", fd, 1000, 0, how) == asked
        watched.server.do("compat_sendto", fd, OK, socket.MSG_NOSIGNAL, how)
        assert watched.change() == {"GET /peek 2xx": 1}


def test_bytes_that_are_not_read_from_memory(watched: Watched) -> None:
    """sendfile of a body counts exactly, splice of a head is a gap: as for others."""
    with watched.server.connection() as (client, fd):
        client.send(request("/file"))
        watched.server.do("compat_read", fd, 1000)
        watched.server.do("compat_write", fd, OK[:-2])
        assert watched.server.do("compat_sendfile", fd, b"ok") == 2
        assert watched.change() == {"GET /file 2xx": 1}
        client.send(request("/spliced"))
        watched.server.do("compat_splice_in", fd, 1000)
        watched.server.do("compat_write", fd, OK)
        client.send(request("/after"))
        watched.server.do("compat_read", fd, 1000)
        watched.server.do("compat_write", fd, OK)
        assert watched.change() == {"GET /after 2xx": 1, "undercount gap": 1}


def test_io_uring(watched: Watched) -> None:
    """It is not followed, and has a cause of its own where its events are seen."""
    head = request("/unseen")
    with watched.server.connection() as (client, fd):
        for _ in range(3):
            client.send(head)
            assert watched.server.do("uring_recv", "compat", fd, 1000) == head
            watched.server.do("compat_write", fd, OK)
        client.send(request("/after"))
        watched.server.do("compat_read", fd, 1000)
        watched.server.do("compat_write", fd, OK)
        cause = "compat" if watched.profile == "socket" else "gap"
        assert watched.change() == {"GET /after 2xx": 1, f"undercount {cause}": 1}


def test_a_socketcall_that_fails(watched: Watched) -> None:
    with watched.server.connection() as (client, fd):
        client.send(request("/after"))
        watched.server.do("compat_fault")
        with pytest.raises(BlockingIOError):
            for _ in range(2):
                watched.server.do("compat_recvfrom", fd, 1000, socket.MSG_DONTWAIT, "socketcall")
        watched.server.do("compat_send", fd, OK)
        assert watched.change() == {"GET /after 2xx": 1}


@pytest.mark.parametrize("end", ["compat_close", "compat_shutdown", "compat_shutdown by socketcall"])
@every_family
def test_the_server_closes(watched: Watched, family: str, end: str) -> None:
    with watched.server.connection(family) as (client, fd):
        client.send(request("/cut"))
        watched.server.do("compat_read", fd, 1000)
        assert watched.change() == {"GET /cut active": 1}
        if end == "compat_close":
            watched.server.do("dup3", fd, 900)  # the connection's last descriptor is closed below
            watched.server.do("compat_close", fd)
            assert watched.change() == {}
            watched.server.do("compat_close", 900)
            watched.server.do("dup", 0)  # takes the number `fd`, which the end of the test closes
        else:
            watched.server.do("compat_shutdown", fd, socket.SHUT_WR, "socketcall" if "by" in end else "direct")
        assert watched.change() == {"GET /cut active": -1, "GET /cut none": 1, "failed": 1}


@every_family
@pytest.mark.parametrize("how", ["direct", "socketcall"])
def test_a_shutdown_for_receiving_ends_nothing(watched: Watched, family: str, how: str) -> None:
    with watched.server.connection(family) as (client, fd):
        client.send(request("/last"))
        watched.server.do("compat_read", fd, 1000)
        watched.server.do("compat_shutdown", fd, socket.SHUT_RD, how)
        assert watched.change() == {"GET /last active": 1}
        watched.server.do("compat_write", fd, OK)
        assert watched.change() == {"GET /last active": -1, "GET /last 2xx": 1}


@every_send
def test_on_a_connection_that_was_open_before_the_attach(tmp_path: Path, attach: Attach, send: Send) -> None:
    with SyscallServer(tmp_path) as server, server.connection() as (client, fd):
        client.send(request("/before"))
        server.do("compat_read", fd, 1000)
        changes = Changes(attach(server.pid), from_nothing=True)
        send(server, fd, OK)
        client.send(request("/after"))
        server.do("compat_read", fd, 1000)
        send(server, fd, OK)
        change = changes.change()
        assert change.pop("GET /after 2xx") == 1
        assert sum(count for name, count in change.items() if name.startswith("(before attach)")) == 1
        assert not any("active" in name or "undercount" in name for name in change)


@contextmanager
def server32(directory: Path) -> Iterator[tuple[int, int]]:
    """The pid and the port of programs/server32.c."""
    binary = directory / "server32"
    flags = ["-m32", "-nostdlib", "-static", "-ffreestanding", "-fno-pie", "-no-pie", "-fno-stack-protector", "-O1"]
    subprocess.run(["gcc", *flags, "-o", binary, PROGRAMS / "server32.c"], check=True)
    assert binary.read_bytes()[4] == 1  # ELFCLASS32
    with subprocess.Popen([binary], stdout=subprocess.PIPE, text=True) as server:
        assert server.stdout
        try:
            yield server.pid, int(server.stdout.readline())
        finally:
            server.kill()


def test_a_32_bit_program(tmp_path: Path, attach: Attach) -> None:
    """It makes each kind of call in turn, through the processor's fast entry."""
    with server32(tmp_path) as (pid, port):
        changes = Changes(attach(pid), from_nothing=True)
        with Client(port) as client:
            for _ in range(20):
                assert client.ask(request("/kept")).body == b"ok"
        for _ in range(10):
            with Client(port) as client:
                assert client.ask(request("/own")).body == b"ok"
        changes.wait_change({"GET /kept 2xx": 20, "GET /own 2xx": 10})
